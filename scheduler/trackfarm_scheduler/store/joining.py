"""Begins a worker, and ends one for good: replaced by its successor, removed by the operator."""

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
    """`token` and `broker_password` are shown once: only their hashes are stored."""

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
    """Adds a worker. Its queue is its own: shards are cut for one worker, and one that may fail
    them again, is reserved, or races another must be left out. What its invitation says of it
    wins over what it says itself; what it has measured widens what it is given and is where its
    speed begins. Raises UnknownModelSet."""
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
            **_proved(session, request, tier),
            **_told(invitation, request),
            queue=queue,
            join_nonce=request.nonce,
            broker_hash=workers.hash_token(password),
            facts=json.dumps(facts, separators=(",", ":")),
            joined_at=now,
            last_seen=now,
        )
    )
    about = {"name": request.name, "gpu": request.gpu, "queue": queue}
    journal.record(session, Happening(now, "worker_joined", worker_id=worker_id, data=about))
    return Joined(worker_id, token, queue, password)


def _proved(session: Session, request: RegisterRequest, tier: Tier) -> dict[str, Any]:
    kind = model_set(request.model_set)
    limits = measured(tier, request.calibration, model_set=kind, memory_mib=request.memory_mib)
    return {
        "vram": reach(limits),
        "max_batch": limits.max_batch,
        "speed": speeds.begin(session, request.gpu, kind, request.calibration),
    }


def _told(invitation: Invitation | None, request: RegisterRequest) -> dict[str, Any]:
    claimed = {
        "provider": request.provider,
        "rental_tag": request.rental_tag,
        "price_per_hour": request.price_per_hour,
    }
    if invitation is None:
        return claimed
    said = {name: value for name in claimed if (value := getattr(invitation, name)) is not None}
    return claimed | said | {"invitation_id": invitation.id}


def of_token(session: Session, token: str, *, lock: bool = False) -> Worker | None:
    """The worker a token was given to, even one that has left."""
    statement = select(Worker).where(col(Worker.token_hash) == workers.hash_token(token))
    return session.scalar(statement.with_for_update() if lock else statement)


def joining_by(session: Session, invitation_id: str, nonce: str) -> Worker | None:
    """The newest worker that a process joined as by an invitation."""
    statement = select(Worker).where(
        col(Worker.invitation_id) == invitation_id, col(Worker.join_nonce) == nonce
    )
    return session.scalar(statement.order_by(col(Worker.joined_at).desc()).limit(1))


def replace(session: Session, past: Worker, now: float) -> None:
    """Ends a worker whose successor joins: its token is of no more use for anything."""
    past.may_return = False
    session.add(past)
    session.flush()
    if past.state != WorkerState.GONE:
        workers.leave(session, past.id, now, reason="replaced")


def remove(session: Session, worker_id: str, now: float) -> Worker | None:
    """The operator ends a worker for good; None when there is no such worker."""
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
