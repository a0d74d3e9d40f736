"""The audit log: changes and their authors, append-only."""

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm_scheduler.db.tables_access import AuditRow
from trackfarm_scheduler.policy.identity import Actor

DONE = "done"
MAX_CHARACTERS = 300


def record(
    session: Session, *, at: float, by: Actor, action: str, target: str, outcome: str = DONE
) -> None:
    """Add an entry in the transaction of the change itself. `action` is `noun.verb`, `target` the
    id of the changed object; `outcome` gives the reason if the change was refused."""
    session.add(
        AuditRow(
            at=at,
            key_id=by.key_id,
            key_name=by.key_name,
            worker_id=by.worker_id,
            address=by.address,
            action=action,
            target=_short(target),
            outcome=_short(outcome),
            request_id=by.request_id,
        )
    )


def list_entries(session: Session, *, target: str | None, after: int, limit: int) -> list[AuditRow]:
    """Return entries oldest first, after the id `after`; with `target`, only entries about it."""
    statement = select(AuditRow).where(col(AuditRow.id) > after)
    if target is not None:
        statement = statement.where(col(AuditRow.target) == target)
    return list(session.scalars(statement.order_by(col(AuditRow.id)).limit(limit)))


def _short(text: str) -> str:
    # PostgreSQL cannot store NUL; only text that a client made up is that long or contains it.
    return text[:MAX_CHARACTERS].replace("\0", "\N{REPLACEMENT CHARACTER}")
