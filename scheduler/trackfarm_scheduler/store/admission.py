"""Who may join the farm: by the join token, by an invitation, or in the place of its own past."""

import secrets
from dataclasses import dataclass

from sqlmodel import Session

from trackfarm.api import WorkerState
from trackfarm_scheduler.recovery import is_bad_worker
from trackfarm_scheduler.store import invitations, joining
from trackfarm_scheduler.store.access_tables import Invitation
from trackfarm_scheduler.store.tables import Worker

RETURN_SECONDS = 3600.0  # a machine restarts and loads its model; no stolen disk serves for longer


@dataclass(frozen=True, slots=True)
class Admission:
    """`predecessor` is the worker whose place is taken; it leaves."""

    invitation: Invitation | None = None
    predecessor: Worker | None = None


def admit(
    session: Session, token: str, now: float, *, join_token: str, nonce: str
) -> Admission | None:
    """What a token lets its bearer be; None when it opens nothing. A use of an invitation is spent
    here, and comes back when the transaction fails.

    `nonce` names the process that asks: who asks again, because the answer was lost, takes the
    place of the worker that it does not know of, and spends no second use.
    """
    if _is(token, join_token):
        return Admission()
    invitation = invitations.of_token(session, token)
    if invitation is not None:
        return _invited(session, invitation, now, nonce)
    past = joining.of_token(session, token, lock=True)
    if past is None or not may_return(past, now):
        return None
    return Admission(invitations.get(session, past.invitation_id), past)


def opens(session: Session, token: str, now: float, *, join_token: str) -> bool:
    """Whether a token may let somebody join; spends nothing, and `admit` has the last word."""
    if _is(token, join_token) or invitations.of_token(session, token) is not None:
        return True
    past = joining.of_token(session, token)
    return past is not None and may_return(past, now)


def may_return(past: Worker, now: float) -> bool:
    """Whether a worker may be started anew with nothing but the token it had: not when it was
    removed, replaced or quarantined, and not after an hour of silence."""
    silence = now - max(past.last_seen, past.left_at or 0.0)
    return past.may_return and not is_bad_worker(past.strikes) and silence <= RETURN_SECONDS


def _invited(session: Session, invitation: Invitation, now: float, nonce: str) -> Admission | None:
    before = joining.joining_by(session, invitation.id, nonce) if nonce else None
    if before is not None and before.state == WorkerState.JOINING:
        return Admission(invitation, before)
    if not invitations.is_open(invitation, now):
        return None
    invitations.use(session, invitation)
    return Admission(invitation)


def _is(token: str, join_token: str) -> bool:
    return bool(join_token) and secrets.compare_digest(token.encode(), join_token.encode())
