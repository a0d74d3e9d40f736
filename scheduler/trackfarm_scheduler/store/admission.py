"""Admission of workers: by the join token, an invitation, or the token of a previous worker."""

import secrets
from dataclasses import dataclass

from sqlmodel import Session

from trackfarm.api import WorkerState
from trackfarm_scheduler.recovery import is_bad_worker
from trackfarm_scheduler.store import invitations, joining
from trackfarm_scheduler.store.access_tables import Invitation
from trackfarm_scheduler.store.tables import Worker

RETURN_SECONDS = 3600.0  # enough to restart and load a model; limits the use of a stolen disk


@dataclass(frozen=True, slots=True)
class Admission:
    """The grounds on which a worker may join. `predecessor` is the worker that it replaces and that
    leaves."""

    invitation: Invitation | None = None
    predecessor: Worker | None = None


def admit(
    session: Session, token: str, now: float, *, join_token: str, nonce: str
) -> Admission | None:
    """Decide whether a token admits its bearer; None if it does not. Spends a use of the
    invitation, which is restored if the transaction fails.

    `nonce` identifies the requesting process: a request repeated because the response was lost
    replaces the worker created by the first one, and spends no second use.
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
    """Return whether a token may admit a worker; spends nothing, and `admit` makes the final
    decision."""
    if _is(token, join_token) or invitations.of_token(session, token) is not None:
        return True
    past = joining.of_token(session, token)
    return past is not None and may_return(past, now)


def may_return(past: Worker, now: float) -> bool:
    """Return whether a worker may register again with its old token alone: not if it was removed,
    replaced or quarantined, and not after an hour of silence."""
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
