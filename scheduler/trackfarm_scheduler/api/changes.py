"""Audited transactions: a change and its audit log entry are committed together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlmodel import Session

from trackfarm_scheduler.access import Actor
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.store import audit
from trackfarm_scheduler.store.jobs import NotAllowed


@dataclass(slots=True)
class Change:
    """An open audited transaction.

    `target` is the id of the changed object, or the caller's reference until the id is known.
    """

    session: Session
    target: str


@contextmanager
def changing(farm: Farm, by: Actor, action: str, target: str) -> Iterator[Change]:
    """Open a transaction that is recorded in the audit log.

    A refusal rolls the transaction back and is recorded in a transaction of its own.
    """
    try:
        with farm.database.write() as session:
            change = Change(session, target)
            yield change
            audit.note(session, at=farm.clock(), by=by, action=action, target=change.target)
    except (Refused, NotAllowed) as refusal:
        outcome = f"refused: {refusal}"
        with farm.database.write() as session:
            audit.note(
                session,
                at=farm.clock(),
                by=by,
                action=action,
                target=change.target,
                outcome=outcome,
            )
        raise
