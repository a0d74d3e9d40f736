"""Registration of workers, and their final removal: by a successor or by the operator."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm.api import WorkerState
from trackfarm.broker import queue_name
from trackfarm.ids import new_id
from trackfarm.model_sets import model_set
from trackfarm.tiers import Tier, measured, reach
from trackfarm.wire import RegisterRequest
from trackfarm_scheduler.rights import BrokerUser
from trackfarm_scheduler.store import journal, speeds, workers
from trackfarm_scheduler.store.access_tables import Invitation
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.tables import Worker


@dataclass(frozen=True, slots=True)
class Joined:
    """The credentials of a new worker. `token` and `broker_password` are shown once: only their
    hashes are stored."""

    worker_id: str
    token: str
    queue: str
    broker_password: str

    @property
    def broker_user(self) -> BrokerUser:
        return BrokerUser(self.worker_id, self.queue, workers.hash_token(self.broker_password))


def join(
    session: Session,
    request: RegisterRequest,
    tier: Tier,
    now: float,
    *,
    invitation: Invitation | None = None,
) -> Joined:
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
        Worker(
            id=worker_id,
            name=request.name,
            token_hash=workers.hash_token(token),
            state=WorkerState.JOINING,
            gpu=request.gpu,
            memory_mib=request.memory_mib,
            tier=tier.name,
            model_set=request.model_set,
            **_capabilities_of(session, request, tier),
            **_origin_of(invitation, request),
            queue=queue,
            join_nonce=request.nonce,
            broker_hash=workers.hash_token(password),
            facts=json.dumps(facts, separators=(",", ":")),
            joined_at=now,
            last_seen=now,
        )
    )
    data = {"name": request.name, "gpu": request.gpu, "queue": queue}
    journal.record(session, Happening(now, "worker_joined", worker_id=worker_id, data=data))
    return Joined(worker_id, token, queue, password)


def _capabilities_of(session: Session, request: RegisterRequest, tier: Tier) -> dict[str, Any]:
    kind = model_set(request.model_set)
    limits = measured(tier, request.calibration, model_set=kind, memory_mib=request.memory_mib)
    return {
        "vram": reach(limits),
        "max_batch": limits.max_batch,
        "speed": speeds.begin(session, request.gpu, kind, request.calibration),
    }


def _origin_of(invitation: Invitation | None, request: RegisterRequest) -> dict[str, Any]:
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


def of_token(session: Session, token: str, *, lock: bool = False) -> Worker | None:
    """Return the worker that was issued this token, even if it has left."""
    statement = select(Worker).where(col(Worker.token_hash) == workers.hash_token(token))
    return session.scalar(statement.with_for_update() if lock else statement)


def joining_by(session: Session, invitation_id: str, nonce: str) -> Worker | None:
    """Return the newest worker that the process with this nonce registered by an invitation."""
    statement = select(Worker).where(
        col(Worker.invitation_id) == invitation_id, col(Worker.join_nonce) == nonce
    )
    return session.scalar(statement.order_by(col(Worker.joined_at).desc()).limit(1))


def replace(session: Session, past: Worker, now: float) -> None:
    """End a worker as its successor joins; its token is no longer accepted for anything."""
    past.may_return = False
    session.add(past)
    session.flush()
    if past.state != WorkerState.GONE:
        workers.leave(session, past.id, now, reason="replaced")


def remove(session: Session, worker_id: str, now: float) -> Worker | None:
    """End a worker on the operator's request, so that it cannot return; None if there is no such
    worker."""
    row = session.get(Worker, worker_id, with_for_update=True)
    if row is None:
        return None
    row.may_return = False
    session.add(row)
    session.flush()
    if row.state != WorkerState.GONE:
        workers.leave(session, row.id, now, reason="removed")
    session.refresh(row)
    return row
