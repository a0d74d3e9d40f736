"""One measured run: a real farm, many simulated workers, one job to its end."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from trackfarm.catalog import Brief
from trackfarm.protocol.operator import JobHeader
from trackfarm_bench.load.outcome import LoadOutcome, read_outcome
from trackfarm_bench.load.simulated_workers import SimulatedWorkers
from trackfarm_bench.load.worker import WorkerBehaviour
from trackfarm_bench.meters import Meters
from trackfarm_bench.parts import Parts, running_farm

IDLE_SECONDS = 10.0
DURATIONS = (20, 30, 45, 60)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    workers: int
    tracks: int
    database: str
    track_seconds: float
    shard_seconds: float


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result; `idle`: cores of each part while all workers only send heartbeats."""

    plan: LoadPlan
    outcome: LoadOutcome
    idle: dict[str, float]
    verdicts: dict[str, int]


def measure(plan: LoadPlan) -> LoadResult:
    # `engine_share` is off: simulated workers report engine seconds that have not passed, and empty
    # objects.
    options = {"shard_seconds": plan.shard_seconds, "engine_share": 1e9}
    with running_farm(plan.database, **options) as parts:
        return asyncio.run(_measure(plan, parts))


async def _measure(plan: LoadPlan, parts: Parts) -> LoadResult:
    behaviour = WorkerBehaviour(
        parts.url, parts.join_token, parts.objects, track_seconds=plan.track_seconds
    )
    workers = SimulatedWorkers(plan.workers, behaviour)
    await workers.join()
    with Meters({**parts.pids, "workers": os.getpid()}) as meters:
        began = time.time()
        await asyncio.sleep(IDLE_SECONDS)
        idle = {n: u.spent(began, time.time()) / IDLE_SECONDS for n, u in meters.parts.items()}
        await asyncio.to_thread(_submit, parts, plan.tracks)
        await workers.wait_for(plan.tracks)
    await workers.leave()
    return LoadResult(plan, read_outcome(parts.database, meters), idle, dict(workers.verdicts))


def _submit(parts: Parts, tracks: int) -> None:
    with parts.client() as farm:
        farm.submit(JobHeader(catalog="load", model_set="tiny"), briefs(tracks))


def briefs(number: int) -> Iterator[Brief]:
    """Yield different briefs of four lengths."""
    for i in range(number):
        duration = DURATIONS[i % len(DURATIONS)]
        yield Brief(prompt=f"calm piano, variant {i}", duration=duration, audio_format="flac")
