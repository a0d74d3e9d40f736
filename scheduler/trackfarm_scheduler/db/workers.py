"""Worker state after registration (`joining`): heartbeats, loss, drain and departure. The only
module that changes `worker.state`."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, case, func, select, tuple_, update
from sqlmodel import Session, col

from trackfarm.protocol.operator import WorkerState
from trackfarm.protocol.worker import HeartbeatRequest
from trackfarm_scheduler.db import events, leases
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.statements import within
from trackfarm_scheduler.db.tables import WorkerRow, table_of
from trackfarm_scheduler.policy.models import SPEED_MEMORY
from trackfarm_scheduler.policy.states import LIVE_STATES, WORKER, AttemptState, is_bad_worker

MIN_SPEED = 1e-3
_WORKER = table_of(WorkerRow)
_BY_TOKEN = select(WorkerRow).where(
    col(WorkerRow.token_hash) == bindparam("hash"), col(WorkerRow.state) != WorkerState.GONE.value
)
_LOCK_PRESENT = (
    select(_WORKER.c.id, _WORKER.c.state, _WORKER.c.strikes)
    .where(
        _WORKER.c.id.in_(bindparam("ids", expanding=True)),
        _WORKER.c.state != WorkerState.GONE.value,
    )
    .with_for_update(skip_locked=True)
)
_RECORD_HEARTBEAT = (
    update(_WORKER)
    .where(_WORKER.c.id == bindparam("worker"))
    .values(
        state=bindparam("new_state"),
        last_seen=bindparam("now"),
        engine_restarts=bindparam("restarts"),
        gpu_memory_mib=bindparam("mib"),
        gpu_utilisation=bindparam("share"),
    )
)
_NEW_SPEED = _WORKER.c.speed + bindparam("weight") * (bindparam("ratio") - _WORKER.c.speed)
_RECORD_DONE = (
    update(_WORKER)
    .where(_WORKER.c.id == bindparam("worker"))
    .values(
        tracks_done=_WORKER.c.tracks_done + bindparam("done"),
        speed=case((_NEW_SPEED > MIN_SPEED, _NEW_SPEED), else_=MIN_SPEED),
    )
)
_COUNT_LIVE = (
    select(func.count())
    .select_from(_WORKER)
    .where(_WORKER.c.state.in_([state.value for state in LIVE_STATES]))
)


def find_by_token(session: Session, token: str) -> WorkerRow | None:
    """Return the worker that a bearer token belongs to, unless it has left."""
    return session.scalar(_BY_TOKEN, {"hash": digest_of(token)})


def record_heartbeats(
    session: Session, beats: Mapping[str, HeartbeatRequest], now: float
) -> frozenset[str]:
    """Record heartbeats by worker id; return the workers drained by the scheduler that have nothing
    left. A lost worker that reports again is accepted; its old leases are not. A worker locked by a
    report at this moment is skipped: waiting for it while holding other locks could deadlock, and
    its next heartbeat comes long before it counts as lost."""
    rows = session.execute(_LOCK_PRESENT, {"ids": sorted(beats)}).all()
    updates, without_work = [], set()
    for worker_id, state, strikes in rows:
        beat = beats[worker_id]
        next_state = _state_after(WorkerState(state), beat, is_bad=is_bad_worker(strikes))
        if next_state is WorkerState.DRAINING and not beat.draining and not beat.shards:
            without_work.add(worker_id)
        updates.append(_heartbeat_row(worker_id, next_state, beat, now))
        if next_state != state and {next_state, state} != {WorkerState.READY, WorkerState.BUSY}:
            events.record(session, JournalEvent(now, f"worker_{next_state}", worker_id=worker_id))
    if updates:
        session.execute(_RECORD_HEARTBEAT, updates)
    return frozenset(without_work)


def _heartbeat_row(
    worker_id: str, state: WorkerState, beat: HeartbeatRequest, now: float
) -> dict[str, object]:
    return {
        "worker": worker_id,
        "new_state": state.value,
        "now": now,
        "restarts": beat.engine_restarts,
        "mib": beat.gpu_memory_mib,
        "share": beat.gpu_utilisation,
    }


def _state_after(state: WorkerState, beat: HeartbeatRequest, *, is_bad: bool) -> WorkerState:
    if is_bad:
        target = WorkerState.QUARANTINED
    elif beat.draining:
        target = WorkerState.DRAINING
    else:
        target = WorkerState.BUSY if beat.shards else WorkerState.READY
    if state is WorkerState.JOINING and target is not WorkerState.READY:
        return WorkerState.READY
    return target if WORKER.allows(state, target) else state


def mark_silent_lost(session: Session, *, silent_since: float, now: float) -> list[str]:
    """Mark workers not heard from since `silent_since` as lost and end their leases; return their
    ids."""
    lost_ids = list(
        session.scalars(
            update(WorkerRow)
            .where(
                col(WorkerRow.last_seen) < silent_since,
                col(WorkerRow.state).in_(WORKER.sources(WorkerState.LOST)),
            )
            .values(state=WorkerState.LOST)
            .returning(col(WorkerRow.id))
        )
    )
    for worker_id in lost_ids:
        events.count(session, "workers_lost")
        events.record(session, JournalEvent(now, "worker_lost", worker_id=worker_id))
        end_leases(session, worker_id, now, reason="worker lost")
    return lost_ids


def drain(session: Session, worker_id: str, now: float) -> bool:
    """Give a worker no more shards; once it has none it is told to leave. Return False if it is
    already draining or cannot drain."""
    if not _move(session, worker_id, WorkerState.DRAINING):
        return False
    events.record(session, JournalEvent(now, "worker_draining", worker_id=worker_id))
    return True


def leave(session: Session, worker_id: str, now: float, *, reason: str) -> None:
    """End a worker: its token becomes invalid, and its tracks pending again."""
    _move(session, worker_id, WorkerState.GONE, left_at=now)
    events.record(
        session, JournalEvent(now, "worker_gone", worker_id=worker_id, data={"reason": reason})
    )
    end_leases(session, worker_id, now, reason="worker left")


def _move(session: Session, worker_id: str, target: WorkerState, **values: object) -> bool:
    statement = (
        update(WorkerRow)
        .where(col(WorkerRow.id) == worker_id, col(WorkerRow.state).in_(WORKER.sources(target)))
        .values(state=target, **values)
        .returning(col(WorkerRow.id))
    )
    return session.scalar(statement) is not None


def end_leases(session: Session, worker_id: str, now: float, *, reason: str) -> None:
    for lease in leases.list_held(session, worker_id):
        leases.end(session, lease, now, reason=reason, left_open=AttemptState.EXPIRED)


def restart_silence(session: Session, now: float) -> None:
    """Restart the silence of all workers after scheduler downtime, when no heartbeat could
    arrive."""
    session.execute(
        update(WorkerRow)
        .where(col(WorkerRow.state).in_(WORKER.sources(WorkerState.LOST)))
        .values(last_seen=now)
    )


def count_live(session: Session) -> int:
    return session.scalar(_COUNT_LIVE) or 0


def list_live_queues(session: Session) -> list[str]:
    """Return the queue of each worker that accepts new shards."""
    return list(
        session.scalars(select(col(WorkerRow.queue)).where(col(WorkerRow.state).in_(LIVE_STATES)))
    )


def list_live(session: Session) -> list[WorkerRow]:
    """Return the workers that accept new shards."""
    return list(session.scalars(select(WorkerRow).where(col(WorkerRow.state).in_(LIVE_STATES))))


def list_present(session: Session) -> list[WorkerRow]:
    """Return all workers that have not left."""
    statement = select(WorkerRow).where(col(WorkerRow.state) != WorkerState.GONE)
    return list(session.scalars(statement.order_by(col(WorkerRow.joined_at))))


def list_page(
    session: Session,
    limit: int,
    *,
    states: Sequence[WorkerState],
    model_set: str | None,
    between: tuple[float | None, float | None],
    behind: Sequence[float | str] | None,
) -> list[WorkerRow]:
    """Return workers oldest first; without `states`, the ones that have not left. `between`: join
    time in Unix seconds; `behind`: join time and id of the last worker on the previous page."""
    joined = col(WorkerRow.joined_at)
    conditions = within(joined, *between)
    conditions.append(
        col(WorkerRow.state).in_(states) if states else col(WorkerRow.state) != WorkerState.GONE
    )
    if model_set is not None:
        conditions.append(col(WorkerRow.model_set) == model_set)
    if behind is not None:
        conditions.append(tuple_(joined, col(WorkerRow.id)) > tuple_(*behind))
    statement = select(WorkerRow).where(*conditions).order_by(joined, col(WorkerRow.id))
    return list(session.scalars(statement.limit(limit)))


def count_eligible(workers: Sequence[WorkerRow], model_set: str, min_vram: int) -> int:
    return sum(w.model_set == model_set and w.vram >= min_vram for w in workers)


def record_done(
    session: Session, worker: WorkerRow, *, done: int, expected: float, took: float
) -> None:
    """Count a worker's done tracks, and learn its speed relative to its kind: `expected` seconds of
    the kind over the seconds this worker `took`."""
    ratio = expected / took if took > 0 else 0.0
    weight = SPEED_MEMORY if took > 0 else 0.0
    facts = {"worker": worker.id, "done": done, "ratio": ratio, "weight": weight}
    session.execute(_RECORD_DONE, facts)


def count_failure(session: Session, worker: WorkerRow) -> None:
    session.execute(
        update(WorkerRow)
        .where(col(WorkerRow.id) == worker.id)
        .values(tracks_failed=col(WorkerRow.tracks_failed) + 1)
    )


def strike(session: Session, worker_id: str, number: int) -> int:
    """Add strikes to a worker; return its total."""
    statement = (
        update(WorkerRow)
        .where(col(WorkerRow.id) == worker_id)
        .values(strikes=col(WorkerRow.strikes) + number)
        .returning(col(WorkerRow.strikes))
    )
    return session.scalar(statement) or 0


def quarantine(session: Session, worker_id: str) -> bool:
    """Take a worker out of work; return False if it was out already."""
    return _move(session, worker_id, WorkerState.QUARANTINED)


def has_silent(session: Session, *, silent_since: float) -> bool:
    statement = select(col(WorkerRow.id)).where(
        col(WorkerRow.last_seen) < silent_since,
        col(WorkerRow.state).in_(WORKER.sources(WorkerState.LOST)),
    )
    return session.scalar(statement.limit(1)) is not None
