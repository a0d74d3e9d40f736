"""Audited transactions: a change and its audit log entry are committed together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlmodel import Session

from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.db import audit
from trackfarm_scheduler.db.jobs import NotAllowed
from trackfarm_scheduler.policy.identity import Actor
from trackfarm_scheduler.services import Services


@dataclass(slots=True)
class Change:
    """An open audited transaction.

    `target` is the id of the changed object, or the caller's reference until the id is known.
    """

    session: Session
    target: str


@contextmanager
def audited_transaction(
    services: Services, by: Actor, action: str, target: str
) -> Iterator[Change]:
    """Open a transaction that is recorded in the audit log.

    A refusal rolls the transaction back and is recorded in a transaction of its own.
    """
    try:
        with services.database.write() as session:
            change = Change(session, target)
            yield change
            audit.record(session, at=services.clock(), by=by, action=action, target=change.target)
    except (ApiError, NotAllowed) as refusal:
        outcome = f"refused: {refusal}"
        with services.database.write() as session:
            audit.record(
                session,
                at=services.clock(),
                by=by,
                action=action,
                target=change.target,
                outcome=outcome,
            )
        raise
