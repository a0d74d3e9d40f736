"""Log of workers that name a lease of another worker."""

import structlog

from trackfarm_scheduler.store.tables import Lease, Worker

log = structlog.get_logger(__name__)


def note_trespass(worker: Worker, lease: Lease | None, call: str) -> None:
    """Log a report or claim under a lease that was offered to another worker. No honest worker
    knows such a lease, however late it is, and lease ids cannot be guessed."""
    if lease is not None and lease.queue != worker.queue:
        log.warning("foreign_lease_used", worker=worker.id, lease=lease.id, call=call)
