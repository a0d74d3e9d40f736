"""One measured run: its own farm, one worker, one catalog from submission to its last track."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from tests.servers.process import Process, wait_until

from trackfarm.catalog import Brief
from trackfarm.client import Client
from trackfarm.protocol.operator import JobHeader, JobInfo, JobState, WorkerState
from trackfarm_bench.catalog.briefs import mixed, write_sources
from trackfarm_bench.meters import cpu_seconds
from trackfarm_bench.parts import Parts, running_farm
from trackfarm_worker.engine.options import EngineOptions

WARM_UP = 8  # tracks, made before anything is measured
LONGEST = 3_600.0  # seconds for a job


@dataclass(frozen=True, slots=True)
class WorkerMode:
    """A mode of the worker; with `one_by_one` it uses no batches, and nothing else differs."""

    name: str
    device: str
    options: EngineOptions
    one_by_one: bool

    @property
    def environment(self) -> dict[str, str]:
        limit = {"batch_tracks": 1} if self.one_by_one else {}
        return {
            "TRACKFARM_WORKER_DEVICE": self.device,
            "TRACKFARM_WORKER_ENGINE_OPTIONS": self.options.model_copy(
                update=limit
            ).model_dump_json(),
        }


@dataclass(frozen=True, slots=True)
class CatalogResult:
    """The result: `seconds` from the submission to the last track, `cpu` seconds of the worker and
    its children. `stages` are seconds by stage over all tracks, `service` the seconds in which
    tracks occupied the engine. `padded` and `audio` are seconds of audio."""

    mode: WorkerMode
    tracks: int
    seconds: float
    cpu: float
    service: float
    batches: float
    passes: float
    padded: float
    audio: float
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def per_hour(self) -> float:
        return 3600 * self.tracks / self.seconds


def together(runs: Sequence[CatalogResult]) -> CatalogResult:
    """Merge several runs of one mode into one."""
    sums = {
        part.name: sum(getattr(run, part.name) for run in runs)
        for part in fields(CatalogResult)
        if part.name not in ("way", "stages")
    }
    stages = sum((Counter(run.stages) for run in runs), Counter[str]())
    return CatalogResult(mode=runs[0].mode, stages=stages, **sums)


def measure(mode: WorkerMode, tracks: int, *, seed: int) -> CatalogResult:
    """Run and measure. Raises RuntimeError if a track could not be made."""
    with running_farm("sqlite") as parts, parts.client() as farm, _worker(parts, mode) as worker:
        wait_until(lambda: _serves(farm), timeout_s=120, what="the worker is ready")
        files = write_sources(parts.folder)
        sources = {seconds: farm.upload(path) for seconds, path in files.items()}
        _made(farm, "warm-up", mixed(WARM_UP, sources, seed=0))
        before, spent = _counters(parts), cpu_seconds(worker.pid)
        job = _made(farm, "mixed", mixed(tracks, sources, seed=seed))
        spent = cpu_seconds(worker.pid) - spent
        counted = {name: n - before.get(name, 0.0) for name, n in _counters(parts).items()}
    assert job.finished_at is not None, "the job has ended"
    seconds = (job.finished_at - job.created_at).total_seconds()
    return _result_of(mode, job.tracks.total, seconds, spent, counted)


@contextmanager
def _worker(parts: Parts, mode: WorkerMode) -> Iterator[Process]:
    env = {
        "TRACKFARM_WORKER_NAME": "bench",
        "TRACKFARM_WORKER_MODEL_SET": "tiny",
        "TRACKFARM_WORKER_SCHEDULER_URL": parts.url,
        "TRACKFARM_WORKER_JOIN_TOKEN": parts.join_token,
        "TRACKFARM_WORKER_DATA_DIR": str(parts.folder / "worker"),
        **mode.environment,
    }
    command: list[str | Path] = [sys.executable, "-P", "-m", "trackfarm_worker"]
    with Process(command, log=parts.folder / "worker.log", env=env) as process:
        yield process


def _serves(farm: Client) -> bool:
    return any(worker.state is WorkerState.READY for worker in farm.workers())


def _made(farm: Client, catalog: str, briefs: list[Brief]) -> JobInfo:
    submitted = farm.submit(JobHeader(catalog=catalog, model_set="tiny"), briefs).job.id
    wait_until(lambda: farm.job(submitted).state.ended, timeout_s=LONGEST, what="the job ends")
    job = farm.job(submitted)
    if job.state is not JobState.DONE or job.tracks.done < job.tracks.total:
        raise RuntimeError(f"not all tracks were made: {job}")
    return job


def _counters(parts: Parts) -> dict[tuple[str, str], float]:
    """Return the sums of metrics by name and stage."""
    sums: dict[tuple[str, str], float] = {}
    headers = {"Authorization": f"Bearer {parts.api_key}"}
    text = httpx.get(f"{parts.url}/metrics", headers=headers).raise_for_status().text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name.removeprefix("trackfarm_"), sample.labels.get("stage", "")
            sums[key] = sums.get(key, 0.0) + sample.value
    return sums


def _result_of(
    mode: WorkerMode,
    tracks: int,
    seconds: float,
    cpu: float,
    counted: Mapping[tuple[str, str], float],
) -> CatalogResult:
    def total(name: str) -> float:
        return counted.get((f"{name}_total", ""), 0.0)

    stages = {stage: n for (name, stage), n in counted.items() if name == "track_stage_seconds_sum"}
    return CatalogResult(
        mode=mode,
        tracks=tracks,
        seconds=seconds,
        cpu=cpu,
        service=total("engine_seconds"),
        batches=total("batches"),
        passes=total("model_passes"),
        padded=total("padding_audio_seconds"),
        audio=total("audio_seconds"),
        stages=stages,
    )
