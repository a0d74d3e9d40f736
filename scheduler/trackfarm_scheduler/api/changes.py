"""A change that somebody asked for: one transaction with its entry in the audit log."""

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
    """`target`: the id of what is changed, once it is known; before, what the caller called it."""

    session: Session
    target: str


@contextmanager
def changing(farm: Farm, by: Actor, action: str, target: str) -> Iterator[Change]:
    """A transaction that is noted when it is done, and noted as well when it is refused, which
    leaves nothing else behind."""
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
