"""Logs what was committed: a listener of the journal, one line an event."""

from collections.abc import Sequence

import structlog

from trackfarm_scheduler.store.journal import Happening

log = structlog.get_logger("trackfarm_scheduler.events")
QUIET = frozenset({"track_done", "shard_offered", "shard_claimed", "shard_finished"})


def tell(happenings: Sequence[Happening]) -> None:
    """Writes each event as one line; the frequent ones at debug level."""
    for happening in happenings:
        level = log.debug if happening.kind in QUIET else log.info
        level(happening.kind, **_fields(happening))


def _fields(happening: Happening) -> dict[str, object]:
    ids = {
        "job": happening.job_id,
        "track": happening.track_id,
        "shard": happening.shard_id,
        "lease": happening.lease_id,
        "worker": happening.worker_id,
    }
    return {name: value for name, value in ids.items() if value is not None} | dict(happening.data)
