"""Log of committed events: a listener of the event journal, one line per event."""

import logging
from collections.abc import Sequence

import structlog

from trackfarm_scheduler.db.events import JournalEvent

log = structlog.get_logger("trackfarm_scheduler.events")
QUIET = frozenset({"track_done", "shard_offered", "shard_claimed", "shard_finished"})


def log_events(events: Sequence[JournalEvent]) -> None:
    """Log each event as one line; frequent kinds at debug level."""
    notable = [event for event in events if event.kind not in QUIET]
    for event in notable:
        log.info(event.kind, **_fields(event))
    if len(notable) < len(events) and log.is_enabled_for(logging.DEBUG):
        for event in events:
            if event.kind in QUIET:
                log.debug(event.kind, **_fields(event))


def _fields(event: JournalEvent) -> dict[str, object]:
    ids = {
        "job": event.job_id,
        "track": event.track_id,
        "shard": event.shard_id,
        "lease": event.lease_id,
        "worker": event.worker_id,
    }
    return {name: value for name, value in ids.items() if value is not None} | dict(event.data)
