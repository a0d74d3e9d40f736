"""Heartbeat batcher: groups heartbeats that arrive close together, so that a thousand workers cost
one transaction per fifth of a second instead of two hundred per second. Each response still
reflects the database."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread
from sqlalchemy import bindparam, select
from sqlmodel import Session

from trackfarm.api import JobState
from trackfarm.wire import HeartbeatRequest
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.store import extensions, workers
from trackfarm_scheduler.store.tables import Job, Lease, table_of

GATHER_SECONDS = 0.2  # between two transactions; on a small farm a heartbeat does not wait
_JOB, _LEASE = table_of(Job), table_of(Lease)
_PAUSED = (
    select(_LEASE.c.id)
    .join(_JOB, _JOB.c.id == _LEASE.c.job_id)
    .where(_LEASE.c.id.in_(bindparam("ids", expanding=True)), _JOB.c.state == JobState.PAUSED.value)
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Result of one round of heartbeats: `held` (worker, lease) pairs, leases of `paused` jobs,
    workers that are `leaving`, and the number of live workers."""

    held: frozenset[tuple[str, str]]
    paused: frozenset[str]
    leaving: frozenset[str]
    workers: int


@dataclass(slots=True)
class _Round:
    beats: dict[str, HeartbeatRequest]
    noted: asyncio.Task[Standing]


class Pulse:
    """Heartbeat batcher for one event loop."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._next: _Round | None = None
        self._not_before = 0.0
        # Not the pool of all requests: their load must not make a worker look silent.
        self._own_thread = CapacityLimiter(1)

    async def beat(self, worker_id: str, request: HeartbeatRequest) -> Standing:
        """Record one heartbeat, batched with others that arrive at about the same time."""
        while self._next is not None and worker_id in self._next.beats:
            await asyncio.shield(self._next.noted)  # the earlier heartbeat gets its own response
        if self._next is None:
            beats: dict[str, HeartbeatRequest] = {}
            self._next = _Round(beats, asyncio.create_task(self._gather(beats)))
        batch = self._next
        batch.beats[worker_id] = request
        return await asyncio.shield(batch.noted)  # a cancelled caller ends only its own wait

    async def _gather(self, beats: Mapping[str, HeartbeatRequest]) -> Standing:
        now = asyncio.get_running_loop().time()
        start = max(now, self._not_before)
        self._not_before = start + GATHER_SECONDS
        await asyncio.sleep(start - now)
        self._next = None
        return await to_thread.run_sync(self._note, beats, limiter=self._own_thread)

    def _note(self, beats: Mapping[str, HeartbeatRequest]) -> Standing:
        now, seconds = self._farm.clock(), self._farm.settings.lost_after_seconds
        progress = {worker_id: beat.shards for worker_id, beat in beats.items()}
        with self._farm.database.write() as session:
            # Leases before workers, as a report does: opposite lock orders would deadlock.
            held = extensions.extend(session, progress, expires_at=now + seconds)
            leaving = workers.hear(session, beats, now)
            paused = _paused(session, [lease_id for _, lease_id in held])
            return Standing(frozenset(held), paused, leaving, workers.count_live(session))


def _paused(session: Session, lease_ids: Sequence[str]) -> frozenset[str]:
    if not lease_ids:
        return frozenset()
    return frozenset(session.scalars(_PAUSED, {"ids": lease_ids}))
