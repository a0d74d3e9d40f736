"""Makes it visible when a worker reaches for what is another's."""

import structlog

from trackfarm_scheduler.store.tables import Lease, Worker

log = structlog.get_logger(__name__)


def note_trespass(worker: Worker, lease: Lease | None, call: str) -> None:
    """Logs a lease that a worker names though it was offered to another. No honest worker knows one,
    however late it is, and none can be guessed."""
    if lease is not None and lease.queue != worker.queue:
        log.warning("lease_of_another", worker=worker.id, lease=lease.id, call=call)
