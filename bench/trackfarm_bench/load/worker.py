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
from trackfarm_bench.load.connections import Queue, Wire

PARCEL = 200  # most results in one report, as in the worker's outbox
GPUS = ("NVIDIA GeForce RTX 4090", "NVIDIA A100 80GB PCIe", "NVIDIA H200")
MIB = (24_564, 81_920, 143_771)


@dataclass(frozen=True, slots=True)
class Manner:
    """Behaviour of simulated workers. `track_seconds`: how long each track really occupies the
    engine; `told_seconds`: the reported time if that is 0; `batch`: tracks that leave the engine
    together; `objects`: the folder of the directory store."""

    url: str
    join_token: str
    objects: Path
    track_seconds: float = 0.0
    told_seconds: float = 2.0
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

    def __init__(self, number: int, manner: Manner, on_verdict: Callable[[str], None]) -> None:
        self._number = number
        self._manner = manner
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
        door = Wire(self._manner.url, self._manner.join_token)
        answer = await _good(door, "register", request.model_dump_json().encode())
        door.close()
        self._interval = answer["intervals"]["heartbeat"]
        self._beats = Wire(self._manner.url, answer["token"])
        self._work = Wire(self._manner.url, answer["token"])
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
            answer = await _good(self._beats, "heartbeat", request.model_dump_json().encode())
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
            for start in range(0, len(orders), self._manner.batch):
                batch = orders[start : start + self._manner.batch]
                if self._manner.track_seconds:
                    await asyncio.sleep(self._manner.track_seconds * len(batch))
                shard.undelivered += [self._done(order) for order in batch]
                shard.finished += len(batch)
                self._results.set()
        shard.stage = Stage.FINISHING

    def _done(self, order: dict[str, Any]) -> TrackDone:
        written = write_object(self._manner.objects, order["object_key"])
        seconds = self._manner.track_seconds or self._manner.told_seconds
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
            parcel = shard.undelivered[:PARCEL]
            del shard.undelivered[:PARCEL]
            request = ReportRequest(lease_id=shard.lease_id, done=parcel)
            answer = await _good(
                self._work, f"shards/{shard.shard_id}/report", request.model_dump_json().encode()
            )
            self._settle(shard, answer["tracks"])

    def _settle(self, shard: LoadShard, verdicts: list[dict[str, Any]]) -> None:
        shard.unanswered -= len(verdicts)
        if not shard.unanswered:
            del self._shards[shard.lease_id]
        for verdict in verdicts:
            self._on_verdict(" ".join(filter(None, (verdict["verdict"], verdict.get("reason")))))


async def _good(wire: Wire, path: str, body: bytes) -> dict[str, Any]:
    status, answer = await wire.post(path, body)
    if status != 200:
        raise RuntimeError(f"{path}: {status} {answer}")
    return dict(answer)
