"""The engine's own maker, driven in this process as the engine process drives it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.child.audio_writer import Sound, written
from trackfarm_worker.engine.child.build import batch_maker
from trackfarm_worker.engine.child.device import Device
from trackfarm_worker.engine.child.generate import Made
from trackfarm_worker.engine.child.recipe import EngineJob, engine_job
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.options import Options
from trackfarm_worker.engine.protocol import EngineTrack, Finished, Setup, Stage


@dataclass(frozen=True, slots=True)
class EngineResult:
    """The result of a batch of `tracks`: wall seconds, seconds by stage, and passes through the
    DiT."""

    tracks: int
    seconds: float
    condition: float
    denoise: float
    decode: float
    passes: int
    peak_gb: float

    @property
    def per_hour(self) -> float:
        return 3600 * self.tracks / self.seconds


class EngineBench:
    """The engine's maker. It modifies the pipeline, so measure the stock pipeline first."""

    def __init__(
        self, pipeline: Any, model_set: ModelSet, *, device: str, spool: Path, options: Options
    ) -> None:
        spool.mkdir(parents=True, exist_ok=True)
        setup = Setup(
            model_set=model_set.name,
            source=None,
            device=device,
            dtype=None,
            spool=spool,
            threads=torch.get_num_threads(),
            step_delay=0.0,
            options=options,
        )
        self._model_set = model_set
        self._device = Device(setup, model_set, pipeline)
        self._ledger = TimeAccount()
        self._maker = batch_maker(
            pipeline, model_set, setup, device=self._device, ledger=self._ledger
        )
        self._passes = 0
        pipeline.transformer.register_forward_pre_hook(self._count)

    def make(self, tracks: Sequence[EngineTrack]) -> EngineResult:
        """Make all tracks in one batch, to files, which are removed again.

        Raises RuntimeError if a track cannot be made, torch.OutOfMemoryError if all together
        cannot.
        """
        self._passes = 0
        self._maker.fit(self._device.room)
        self._ledger.reset()
        reset_peak(self._device.kind)
        began = time.perf_counter()
        results = [
            written(track) if isinstance(track, Sound) else track
            for track in self._make_all(tracks)
        ]
        self._device.synchronise()
        seconds = time.perf_counter() - began
        finished = [result for result in results if isinstance(result, Finished)]
        for result in finished:
            result.path.unlink()
        if len(finished) < len(tracks):
            raise RuntimeError(f"not all tracks were made: {results}")
        return EngineResult(
            tracks=len(tracks),
            seconds=seconds,
            condition=sum(result.timings.condition for result in finished),
            denoise=sum(result.timings.denoise for result in finished),
            decode=sum(result.timings.decode for result in finished),
            passes=self._passes,
            peak_gb=peak_gb(self._device.kind),
        )

    def _make_all(self, tracks: Sequence[EngineTrack]) -> list[Made]:
        try:
            return list(self._maker.make(jobs(tracks, self._model_set), NoProgress()))
        except BaseException:
            # Time booked for a failed batch must not count for the next one.
            for track in tracks:
                self._ledger.settle(track.track_id)
            raise

    def _count(self, *_: object) -> None:
        self._passes += 1


class NoProgress:
    """Progress listener that ignores events and never stops a track."""

    def tell(self, track_ids: Sequence[int], stage: Stage, step: int, steps: int) -> None:
        """Ignore the event."""

    def is_stopped(self, track_id: int) -> bool:
        return False


def jobs(tracks: Sequence[EngineTrack], model_set: ModelSet) -> list[EngineJob]:
    """Return the engine's jobs. Raises RuntimeError for a track that the engine rejects."""
    results = [engine_job(track, model_set, f"bench-{track.track_id}") for track in tracks]
    refused = [track for track in results if not isinstance(track, EngineJob)]
    if refused:
        raise RuntimeError(f"the engine rejects these tracks: {refused}")
    return [track for track in results if isinstance(track, EngineJob)]


def reset_peak(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak_gb(kind: str) -> float:
    """Return the peak memory in GB (10^9 bytes) since `reset_peak`, weights included; 0 if
    unknown."""
    return torch.cuda.max_memory_allocated() / 1e9 if kind == "cuda" else 0.0
