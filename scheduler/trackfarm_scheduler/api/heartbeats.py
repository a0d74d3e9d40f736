"""Heartbeat route. A thousand workers call it all the time, so it bypasses FastAPI.

FastAPI's processing of a call costs five times as much as all the work done here.

Heartbeat batcher: groups heartbeats that arrive close together, so that a thousand workers cost
one transaction per fifth of a second instead of two hundred per second. Each response still
reflects the database.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trackfarm.protocol.worker import (
    WORKER_PREFIX,
    Command,
    CommandKind,
    HeartbeatAnswer,
    HeartbeatRequest,
    ShardProgress,
)
from trackfarm_scheduler.api.auth import calling_worker
from trackfarm_scheduler.api.errors import WRONG_FORM, ApiError, flaws
from trackfarm_scheduler.db import lease_expiry, workers
from trackfarm_scheduler.services import Services

GATHER_SECONDS = 0.2  # between two transactions; on a small farm a heartbeat does not wait


@dataclass(frozen=True, slots=True)
class HeartbeatResult:
    """Result of one round of heartbeats: `held` (worker, lease) pairs, leases of `paused` jobs,
    workers that are `leaving`, and the number of live workers."""

    held: frozenset[tuple[str, str]]
    paused: frozenset[str]
    leaving: frozenset[str]
    workers: int


@dataclass(slots=True)
class _HeartbeatBatch:
    beats: dict[str, HeartbeatRequest]
    noted: asyncio.Task[HeartbeatResult]


class HeartbeatBatcher:
    """Heartbeat batcher for one event loop."""

    def __init__(self, services: Services) -> None:
        self._farm = services
        self._next: _HeartbeatBatch | None = None
        self._not_before = 0.0
        # Not the pool of all requests: their load must not make a worker look silent.
        self._own_thread = CapacityLimiter(1)

    async def beat(self, worker_id: str, request: HeartbeatRequest) -> HeartbeatResult:
        """Record one heartbeat, batched with others that arrive at about the same time."""
        while self._next is not None and worker_id in self._next.beats:
            await asyncio.shield(self._next.noted)  # the earlier heartbeat gets its own response
        if self._next is None:
            beats: dict[str, HeartbeatRequest] = {}
            self._next = _HeartbeatBatch(beats, asyncio.create_task(self._gather(beats)))
        batch = self._next
        batch.beats[worker_id] = request
        return await asyncio.shield(batch.noted)  # a cancelled caller ends only its own wait

    async def _gather(self, beats: Mapping[str, HeartbeatRequest]) -> HeartbeatResult:
        now = asyncio.get_running_loop().time()
        start = max(now, self._not_before)
        self._not_before = start + GATHER_SECONDS
        await asyncio.sleep(start - now)
        self._next = None
        return await to_thread.run_sync(self._note, beats, limiter=self._own_thread)

    def _note(self, beats: Mapping[str, HeartbeatRequest]) -> HeartbeatResult:
        now, seconds = self._farm.clock(), self._farm.settings.lost_after_seconds
        progress = {worker_id: beat.shards for worker_id, beat in beats.items()}
        with self._farm.database.write() as session:
            # Leases before workers, as a report does: opposite lock orders would deadlock.
            held = lease_expiry.extend(session, progress, expires_at=now + seconds)
            leaving = workers.record_heartbeats(session, beats, now)
            paused = lease_expiry.find_paused(session, [lease_id for _, lease_id in held])
            return HeartbeatResult(frozenset(held), paused, leaving, workers.count_live(session))


def heartbeat_route(services: Services) -> Route:
    """Build `POST heartbeat`: extend the leases the worker holds, and tell it to stop the others."""
    pulse = HeartbeatBatcher(services)

    async def heartbeat(request: Request) -> Response:
        worker = await calling_worker(request)
        beat = _read(await request.body())
        standing = await pulse.beat(worker.id, beat)
        answer = _answer(services, worker.id, beat, standing)
        return Response(answer.model_dump_json(), media_type="application/json")

    return Route(f"{WORKER_PREFIX}/heartbeat", heartbeat, methods=["POST"])


def _read(body: bytes) -> HeartbeatRequest:
    try:
        return HeartbeatRequest.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise ApiError(422, WRONG_FORM, flaws(errors)) from error


def _answer(
    services: Services, worker_id: str, beat: HeartbeatRequest, standing: HeartbeatResult
) -> HeartbeatAnswer:
    held_leases = {s.lease_id for s in beat.shards if (worker_id, s.lease_id) in standing.held}
    commands = [c for s in beat.shards if (c := _command(s, held_leases, standing.paused))]
    if worker_id in standing.leaving:
        commands.append(Command(kind=CommandKind.DRAIN, reason="drain requested"))
    return HeartbeatAnswer(
        leases=dict.fromkeys(held_leases, services.settings.lost_after_seconds),
        commands=commands,
        intervals=services.intervals(standing.workers),
    )


def _command(shard: ShardProgress, held_leases: set[str], paused: frozenset[str]) -> Command | None:
    if shard.lease_id in held_leases and shard.lease_id not in paused:
        return None
    reason = "the job is paused" if shard.lease_id in paused else "the lease has ended"
    return Command(
        kind=CommandKind.STOP_SHARD,
        shard_id=shard.shard_id,
        lease_id=shard.lease_id,
        reason=reason,
    )
