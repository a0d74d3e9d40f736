"""Registration of workers: admission by the join token, an invitation or the token of a predecessor;
their credentials; and their removal by a successor or the operator."""

import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, not_, select
from sqlmodel import Session, col

from trackfarm.broker import queue_name
from trackfarm.identity import new_id
from trackfarm.model_sets import model_set
from trackfarm.protocol.operator import WorkerState
from trackfarm.protocol.worker import RegisterRequest
from trackfarm.tiers import Tier, reachable_vram, worker_limits
from trackfarm_scheduler.db import events, invitations, speeds, workers
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables import WorkerRow, table_of
from trackfarm_scheduler.db.tables_access import InvitationRow
from trackfarm_scheduler.policy.models import BrokerUser
from trackfarm_scheduler.policy.states import is_bad_worker

RETURN_SECONDS = 3600.0  # enough to restart and load a model; limits the use of a stolen disk
_WORKER = table_of(WorkerRow)
_LONG_LOST = and_(
    _WORKER.c.state == WorkerState.LOST.value, _WORKER.c.last_seen < bindparam("lost_before")
)
_BROKER_USERS = select(_WORKER.c.id, _WORKER.c.queue, _WORKER.c.broker_hash).where(
    _WORKER.c.state != WorkerState.GONE.value, _WORKER.c.broker_hash != "", not_(_LONG_LOST)
)
_JOINED = select(_WORKER.c.id).where(_WORKER.c.id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Admission:
    """The grounds on which a worker may join. `predecessor` is the worker that it replaces and that
    leaves."""

    invitation: InvitationRow | None = None
    predecessor: WorkerRow | None = None


@dataclass(frozen=True, slots=True)
class WorkerCredentials:
    """The credentials of a new worker. `token` and `broker_password` are shown once: only their
    hashes are stored."""

    worker_id: str
    token: str
    queue: str
    broker_password: str

    @property
    def broker_user(self) -> BrokerUser:
        return BrokerUser(self.worker_id, self.queue, digest_of(self.broker_password))


def may_admit(session: Session, token: str, now: float, *, join_token: str) -> bool:
    """Return whether a token may admit a worker; spends nothing, and `admit` makes the final
    decision."""
    if _is_join_token(token, join_token) or invitations.find_by_token(session, token) is not None:
        return True
    predecessor = find_by_token(session, token)
    return predecessor is not None and may_return(predecessor, now)


def admit(
    session: Session, token: str, now: float, *, join_token: str, nonce: str
) -> Admission | None:
    """Decide whether a token admits its bearer; None if it does not. Spends a use of the
    invitation, which is restored if the transaction fails.

    `nonce` identifies the requesting process: a request repeated because the response was lost
    replaces the worker created by the first one, and spends no second use.
    """
    if _is_join_token(token, join_token):
        return Admission()
    invitation = invitations.find_by_token(session, token)
    if invitation is not None:
        return _invited(session, invitation, now, nonce)
    predecessor = find_by_token(session, token, lock=True)
    if predecessor is None or not may_return(predecessor, now):
        return None
    return Admission(invitations.get(session, predecessor.invitation_id), predecessor)


def _invited(
    session: Session, invitation: InvitationRow, now: float, nonce: str
) -> Admission | None:
    before = find_joining(session, invitation.id, nonce) if nonce else None
    if before is not None and before.state == WorkerState.JOINING:
        return Admission(invitation, before)
    if not invitations.is_open(invitation, now):
        return None
    invitations.use(session, invitation)
    return Admission(invitation)


def _is_join_token(token: str, join_token: str) -> bool:
    return bool(join_token) and secrets.compare_digest(token.encode(), join_token.encode())


def may_return(predecessor: WorkerRow, now: float) -> bool:
    """Return whether a worker may register again with its old token alone: not if it was removed,
    replaced or quarantined, and not after an hour of silence."""
    silence = now - max(predecessor.last_seen, predecessor.left_at or 0.0)
    return (
        predecessor.may_return
        and not is_bad_worker(predecessor.strikes)
        and silence <= RETURN_SECONDS
    )


def join(
    session: Session,
    request: RegisterRequest,
    tier: Tier,
    now: float,
    *,
    invitation: InvitationRow | None = None,
) -> WorkerCredentials:
    """Add a worker. Its queue is its own: shards are cut for one worker, and placement must be able
    to avoid a worker that may fail the tracks again, is reserved, or races another (speculative
    copy). The facts of its invitation override its own claims; its calibration extends its limits
    and sets its initial speed. Raises UnknownModelSet."""
    worker_id, token = new_id("worker"), secrets.token_urlsafe(32)
    password = secrets.token_urlsafe(32)
    queue = queue_name(tier.name, request.model_set, worker_id)
    facts = {
        "driver": request.driver,
        "digests": request.digests,
        "calibration": request.calibration,
        "versions": request.versions,
    }
    session.add(
        WorkerRow(
            id=worker_id,
            name=request.name,
            token_hash=digest_of(token),
            state=WorkerState.JOINING,
            gpu=request.gpu,
            memory_mib=request.memory_mib,
            tier=tier.name,
            model_set=request.model_set,
            **_capabilities_of(session, request, tier),
            **_origin_of(invitation, request),
            queue=queue,
            join_nonce=request.nonce,
            broker_hash=digest_of(password),
            facts=json.dumps(facts, separators=(",", ":")),
            joined_at=now,
            last_seen=now,
        )
    )
    data = {"name": request.name, "gpu": request.gpu, "queue": queue}
    events.record(session, JournalEvent(now, "worker_joined", worker_id=worker_id, data=data))
    return WorkerCredentials(worker_id, token, queue, password)


def _capabilities_of(session: Session, request: RegisterRequest, tier: Tier) -> dict[str, Any]:
    kind = model_set(request.model_set)
    limits = worker_limits(tier, request.calibration, model_set=kind, memory_mib=request.memory_mib)
    return {
        "vram": reachable_vram(limits),
        "max_batch": limits.max_batch,
        "speed": speeds.calibrate(session, request.gpu, kind, request.calibration),
    }


def _origin_of(invitation: InvitationRow | None, request: RegisterRequest) -> dict[str, Any]:
    claimed = {
        "provider": request.provider,
        "rental_tag": request.rental_tag,
        "price_per_hour": request.price_per_hour,
    }
    if invitation is None:
        return claimed
    overrides = {
        name: value for name in claimed if (value := getattr(invitation, name)) is not None
    }
    return claimed | overrides | {"invitation_id": invitation.id}


def replace(session: Session, predecessor: WorkerRow, now: float) -> None:
    """End a worker as its successor joins; its token is no longer accepted for anything."""
    predecessor.may_return = False
    session.add(predecessor)
    session.flush()
    if predecessor.state != WorkerState.GONE:
        workers.leave(session, predecessor.id, now, reason="replaced")


def remove(session: Session, worker_id: str, now: float) -> WorkerRow | None:
    """End a worker on the operator's request, so that it cannot return; None if there is no such
    worker."""
    row = session.get(WorkerRow, worker_id, with_for_update=True)
    if row is None:
        return None
    row.may_return = False
    session.add(row)
    session.flush()
    if row.state != WorkerState.GONE:
        workers.leave(session, row.id, now, reason="removed")
    session.refresh(row)
    return row


def find_by_token(session: Session, token: str, *, lock: bool = False) -> WorkerRow | None:
    """Return the worker that was issued this token, even if it has left."""
    statement = select(WorkerRow).where(col(WorkerRow.token_hash) == digest_of(token))
    return session.scalar(statement.with_for_update() if lock else statement)


def find_joining(session: Session, invitation_id: str, nonce: str) -> WorkerRow | None:
    """Return the newest worker that the process with this nonce registered by an invitation."""
    statement = select(WorkerRow).where(
        col(WorkerRow.invitation_id) == invitation_id, col(WorkerRow.join_nonce) == nonce
    )
    return session.scalar(statement.order_by(col(WorkerRow.joined_at).desc()).limit(1))


def list_broker_users(session: Session, *, lost_before: float) -> dict[str, BrokerUser]:
    """Return by worker id the broker users of workers that have not left, and were not lost before
    `lost_before`."""
    rows = session.execute(_BROKER_USERS, {"lost_before": lost_before})
    return {row.id: BrokerUser(row.id, row.queue, row.broker_hash) for row in rows}


def select_joined(session: Session, worker_ids: Collection[str]) -> set[str]:
    """Return the ids among `worker_ids` that belong to workers that ever joined this farm."""
    if not worker_ids:
        return set()
    return set(session.scalars(_JOINED, {"ids": sorted(worker_ids)}))
