"""Log of committed events: a listener of the event journal, one line per event."""

import logging
from collections.abc import Sequence

import structlog

from trackfarm_scheduler.db.events import JournalEvent

log = structlog.get_logger("trackfarm_scheduler.events")
QUIET = frozenset({"track_done", "shard_offered", "shard_claimed", "shard_finished"})


def tell(happenings: Sequence[JournalEvent]) -> None:
    """Log each event as one line; frequent kinds at debug level."""
    notable = [happening for happening in happenings if happening.kind not in QUIET]
    for happening in notable:
        log.info(happening.kind, **_fields(happening))
    if len(notable) < len(happenings) and log.is_enabled_for(logging.DEBUG):
        for happening in happenings:
            if happening.kind in QUIET:
                log.debug(happening.kind, **_fields(happening))


def _fields(happening: JournalEvent) -> dict[str, object]:
    ids = {
        "job": happening.job_id,
        "track": happening.track_id,
        "shard": happening.shard_id,
        "lease": happening.lease_id,
        "worker": happening.worker_id,
    }
    return {name: value for name, value in ids.items() if value is not None} | dict(happening.data)
