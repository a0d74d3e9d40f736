"""Log of workers that name a lease of another worker."""

import structlog

from trackfarm_scheduler.db.tables import LeaseRow, WorkerRow

log = structlog.get_logger(__name__)


def log_foreign_lease(worker: WorkerRow, lease: LeaseRow | None, call: str) -> None:
    """Log a claim, report or release under a lease that was offered to another worker. No honest
    worker knows such a lease, however late it is, and lease ids cannot be guessed."""
    if lease is not None and lease.queue != worker.queue:
        log.warning("foreign_lease_used", worker=worker.id, lease=lease.id, call=call)
