"""Logs what was committed: a listener of the journal, one line an event."""

import logging
from collections.abc import Sequence

import structlog

from trackfarm_scheduler.store.journal import Happening

log = structlog.get_logger("trackfarm_scheduler.events")
QUIET = frozenset({"track_done", "shard_offered", "shard_claimed", "shard_finished"})


def tell(happenings: Sequence[Happening]) -> None:
    """Writes each event as one line; the frequent ones at debug level."""
    loud = [happening for happening in happenings if happening.kind not in QUIET]
    for happening in loud:
        log.info(happening.kind, **_fields(happening))
    if len(loud) < len(happenings) and log.is_enabled_for(logging.DEBUG):
        for happening in happenings:
            if happening.kind in QUIET:
                log.debug(happening.kind, **_fields(happening))


def _fields(happening: Happening) -> dict[str, object]:
    ids = {
        "job": happening.job_id,
        "track": happening.track_id,
        "shard": happening.shard_id,
        "lease": happening.lease_id,
        "worker": happening.worker_id,
    }
    return {name: value for name, value in ids.items() if value is not None} | dict(happening.data)
