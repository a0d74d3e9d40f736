"""A simulated worker: the complete worker protocol, without a model."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trackfarm.broker import PIPELINE_DEPTH
from trackfarm.protocol.worker import (
    ClaimRequest,
    HeartbeatRequest,
    Measurements,
    RegisterRequest,
    ReportRequest,
    ShardProgress,
    Stage,
    Timings,
    TrackDone,
)
from trackfarm_bench.load.audio import write_object
from trackfarm_bench.load.connections import HttpConnection, Queue

MAX_REPORT_TRACKS = 200  # most results in one report, as in the worker's outbox
GPUS = ("NVIDIA GeForce RTX 4090", "NVIDIA A100 80GB PCIe", "NVIDIA H200")
MIB = (24_564, 81_920, 143_771)


@dataclass(frozen=True, slots=True)
class WorkerBehaviour:
    """Behaviour of simulated workers. `track_seconds`: how long each track really occupies the
    engine; `reported_seconds`: the reported time if that is 0; `batch`: tracks that leave the engine
    together; `objects`: the folder of the directory store."""

    url: str
    join_token: str
    objects: Path
    track_seconds: float = 0.0
    reported_seconds: float = 2.0
    batch: int = 8


@dataclass(slots=True)
class LoadShard:
    shard_id: str
    lease_id: str
    stage: Stage = Stage.WAITING
    finished: int = 0
    undelivered: list[TrackDone] = field(default_factory=list)
    unanswered: int = 0

    def progress(self) -> ShardProgress:
        return ShardProgress(
            shard_id=self.shard_id,
            lease_id=self.lease_id,
            stage=self.stage,
            finished=self.finished,
        )


class SimulatedWorker:
    """One worker: a heartbeat, a consumer with the pipeline's depth, and a reporter. `on_verdict`
    is called for each answered track."""

    def __init__(
        self, number: int, behaviour: WorkerBehaviour, on_verdict: Callable[[str], None]
    ) -> None:
        self._number = number
        self._behaviour = behaviour
        self._on_verdict = on_verdict
        self._shards: dict[str, LoadShard] = {}
        self._engine = asyncio.Lock()
        self._slots = asyncio.Semaphore(PIPELINE_DEPTH)
        self._results = asyncio.Event()
        self._interval = 5.0

    async def join(self) -> None:
        """Register; `live` must follow."""
        kind = self._number % len(GPUS)
        request = RegisterRequest(
            name=f"sim-{self._number}",
            gpu=GPUS[kind],
            memory_mib=MIB[kind],
            model_set="tiny",
            price_per_hour=0.5,
        )
        connection = HttpConnection(self._behaviour.url, self._behaviour.join_token)
        answer = await _post_ok(connection, "register", request.model_dump_json().encode())
        connection.close()
        self._interval = answer["intervals"]["heartbeat"]
        self._beats = HttpConnection(self._behaviour.url, answer["token"])
        self._work = HttpConnection(self._behaviour.url, answer["token"])
        self._queue = Queue(answer["broker_url"], answer["queue"])

    async def live(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beat())
                tasks.create_task(self._report())
                await self._consume(tasks)
        finally:
            for connection in (self._beats, self._work, self._queue):
                connection.close()

    async def _beat(self) -> None:
        await asyncio.sleep(random.random() * self._interval)
        while True:
            request = HeartbeatRequest(shards=[s.progress() for s in self._shards.values()])
            answer = await _post_ok(self._beats, "heartbeat", request.model_dump_json().encode())
            self._interval = answer["intervals"]["heartbeat"]
            await asyncio.sleep(self._interval)

    async def _consume(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._slots.acquire()
            while (message := await self._queue.pop()) is None:
                pass
            tasks.create_task(self._make(*message))

    async def _make(self, shard_id: str, lease_id: str) -> None:
        try:
            body = ClaimRequest(lease_id=lease_id).model_dump_json().encode()
            status, answer = await self._work.post(f"shards/{shard_id}/claim", body)
            if status in (409, 410):
                return
            if status != 200:
                raise RuntimeError(f"claim: {status} {answer}")
            await self._compute(LoadShard(shard_id, lease_id), answer["tracks"])
        finally:
            self._slots.release()

    async def _compute(self, shard: LoadShard, orders: list[dict[str, Any]]) -> None:
        self._shards[shard.lease_id] = shard
        shard.unanswered = len(orders)
        async with self._engine:
            shard.stage = Stage.COMPUTING
            for start in range(0, len(orders), self._behaviour.batch):
                batch = orders[start : start + self._behaviour.batch]
                if self._behaviour.track_seconds:
                    await asyncio.sleep(self._behaviour.track_seconds * len(batch))
                shard.undelivered += [self._done(order) for order in batch]
                shard.finished += len(batch)
                self._results.set()
        shard.stage = Stage.FINISHING

    def _done(self, order: dict[str, Any]) -> TrackDone:
        written = write_object(self._behaviour.objects, order["object_key"])
        seconds = self._behaviour.track_seconds or self._behaviour.reported_seconds
        spread = random.uniform(0.9, 1.1) * seconds
        return TrackDone(
            track_id=order["track_id"],
            object_key=order["object_key"],
            size=written.size,
            md5=written.md5,
            sha256=written.sha256,
            seed=order["seed"],
            measurements=Measurements(
                seconds=order["brief"]["duration"],
                sample_rate=48_000,
                channels=2,
                peak_dbfs=-1.0,
                rms_dbfs=-16.0,
                clipped=0.0,
                dc=0.0,
            ),
            timings=Timings(service=spread, denoise=0.8 * spread, decode=0.2 * spread, encode=0.1),
        )

    async def _report(self) -> None:
        while True:
            await self._results.wait()
            shard = next((s for s in self._shards.values() if s.undelivered), None)
            if shard is None:
                self._results.clear()
                continue
            batch = shard.undelivered[:MAX_REPORT_TRACKS]
            del shard.undelivered[:MAX_REPORT_TRACKS]
            request = ReportRequest(lease_id=shard.lease_id, done=batch)
            answer = await _post_ok(
                self._work, f"shards/{shard.shard_id}/report", request.model_dump_json().encode()
            )
            self._settle(shard, answer["tracks"])

    def _settle(self, shard: LoadShard, verdicts: list[dict[str, Any]]) -> None:
        shard.unanswered -= len(verdicts)
        if not shard.unanswered:
            del self._shards[shard.lease_id]
        for verdict in verdicts:
            self._on_verdict(" ".join(filter(None, (verdict["verdict"], verdict.get("reason")))))


async def _post_ok(connection: HttpConnection, path: str, body: bytes) -> dict[str, Any]:
    status, answer = await connection.post(path, body)
    if status != 200:
        raise RuntimeError(f"{path}: {status} {answer}")
    return dict(answer)
