"""One measured run: a farm with simulated workers, a job, and a client that keeps reading."""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass

from trackfarm.protocol.operator import JobHeader
from trackfarm_bench.load.run import briefs
from trackfarm_bench.load.simulated_workers import SimulatedWorkers
from trackfarm_bench.load.worker import WorkerBehaviour
from trackfarm_bench.meters import cpu_seconds
from trackfarm_bench.parts import Parts, running_farm

SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class ReadsPlan:
    """The parameters; `track_seconds`: how long a track occupies its simulated worker."""

    workers: int
    tracks: int
    database: str
    rate: float
    seconds: float
    track_seconds: float


@dataclass(frozen=True, slots=True)
class ReadsResult:
    """Response times by request, while the job ran and after a burst of single calls. While it ran,
    `made` tracks were committed in `seconds`, the scheduler used `cores` cores, and the machine's
    load average was `load`."""

    plan: ReadsPlan
    made: int
    seconds: float
    cores: float
    load: float
    reads: dict[str, list[float]]
    polls: dict[str, list[float]]


def measure(plan: ReadsPlan) -> ReadsResult:
    with running_farm(plan.database, engine_share=1e9, most_calls=100_000) as parts:
        return asyncio.run(_measure(plan, parts))


async def _measure(plan: ReadsPlan, parts: Parts) -> ReadsResult:
    behaviour = WorkerBehaviour(
        parts.url, parts.join_token, parts.objects, track_seconds=plan.track_seconds, batch=2
    )
    workers = SimulatedWorkers(plan.workers, behaviour)
    await workers.join()
    job_id = await asyncio.to_thread(_submit, parts, plan.tracks)
    await asyncio.sleep(SETTLE_SECONDS)
    before, began = workers.verdicts["committed"], time.monotonic()
    spent = cpu_seconds(parts.pids["scheduler"])
    reads = await _asked(parts, job_id, plan.rate, plan.seconds)
    committed, seconds = workers.verdicts["committed"] - before, time.monotonic() - began
    cores = (cpu_seconds(parts.pids["scheduler"]) - spent) / seconds
    load = os.getloadavg()[0]
    polls = await _asked(parts, "", 0.0, 0.0)
    await workers.leave()
    return ReadsResult(plan, committed, seconds, cores, load, reads, polls)


async def _asked(parts: Parts, job_id: str, rate: float, seconds: float) -> dict[str, list[float]]:
    module = "trackfarm_bench.reads.reader"
    arguments = (parts.url, parts.api_key, job_id, str(rate), str(seconds))
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await reader.communicate()
    if reader.returncode:
        raise RuntimeError(f"{module} failed")
    times: dict[str, list[float]] = json.loads(output)
    return times


def _submit(parts: Parts, tracks: int) -> str:
    with parts.client() as farm:
        return farm.submit(JobHeader(catalog="reads", model_set="tiny"), briefs(tracks)).job.id
