"""The engine's own batch generator, driven in this process as the engine process drives it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.child.audio_writer import AcceptedAudio, write_audio
from trackfarm_worker.engine.child.build import build_generator
from trackfarm_worker.engine.child.device import Device
from trackfarm_worker.engine.child.generate import BatchOutput
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.options import EngineOptions
from trackfarm_worker.engine.protocol import EngineStage, EngineTrack, FinishedTrack, Setup


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
    """The engine's batch generator. It modifies the pipeline, so measure the stock pipeline first."""

    def __init__(
        self,
        pipeline: Any,
        model_set: ModelSet,
        *,
        device: str,
        spool: Path,
        options: EngineOptions,
    ) -> None:
        spool.mkdir(parents=True, exist_ok=True)
        setup = Setup(
            model_set=model_set.name,
            model_path=None,
            device=device,
            dtype=None,
            spool=spool,
            threads=torch.get_num_threads(),
            step_delay=0.0,
            options=options,
        )
        self._model_set = model_set
        self._device = Device(setup, model_set, pipeline)
        self._time_account = TimeAccount()
        self._generator = build_generator(
            pipeline, model_set, setup, device=self._device, time_account=self._time_account
        )
        self._passes = 0
        pipeline.transformer.register_forward_pre_hook(self._count)

    def make(self, tracks: Sequence[EngineTrack]) -> EngineResult:
        """Make all tracks in one batch, to files, which are removed again.

        Raises RuntimeError if a track cannot be made, torch.OutOfMemoryError if all together
        cannot.
        """
        self._passes = 0
        self._generator.set_windows(self._device.memory_limits)
        self._time_account.reset()
        reset_peak(self._device.kind)
        began = time.perf_counter()
        results = [
            write_audio(track) if isinstance(track, AcceptedAudio) else track
            for track in self._outputs(tracks)
        ]
        self._device.synchronise()
        seconds = time.perf_counter() - began
        finished = [result for result in results if isinstance(result, FinishedTrack)]
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

    def _outputs(self, tracks: Sequence[EngineTrack]) -> list[BatchOutput]:
        try:
            return list(
                self._generator.generate(first_tries(tracks, self._model_set), NoProgress())
            )
        except BaseException:
            # Time booked for a failed batch must not count for the next one.
            for track in tracks:
                self._time_account.take(track.track_id)
            raise

    def _count(self, *_: object) -> None:
        self._passes += 1


class NoProgress:
    """Progress listener that ignores events and never stops a track."""

    def report_step(
        self, track_ids: Sequence[int], stage: EngineStage, step: int, steps: int
    ) -> None:
        """Ignore the event."""

    def is_stopped(self, track_id: int) -> bool:
        return False


def first_tries(tracks: Sequence[EngineTrack], model_set: ModelSet) -> list[TrackTry]:
    """Return the first try of each track. Raises RuntimeError for a track that the engine rejects."""
    results = [first_try(track, model_set, f"bench-{track.track_id}") for track in tracks]
    refused = [track for track in results if not isinstance(track, TrackTry)]
    if refused:
        raise RuntimeError(f"the engine rejects these tracks: {refused}")
    return [track for track in results if isinstance(track, TrackTry)]


def reset_peak(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak_gb(kind: str) -> float:
    """Return the peak memory in GB (10^9 bytes) since `reset_peak`, weights included; 0 if
    unknown."""
    return torch.cuda.max_memory_allocated() / 1e9 if kind == "cuda" else 0.0
