"""One track from order to file: denoise, decode, measure, write. Every ending is a value."""

import errno
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm.model_sets import ModelSet
from trackfarm.wire import FailureKind
from trackfarm_worker.engine.decoder import decode
from trackfarm_worker.engine.denoiser import Denoiser
from trackfarm_worker.engine.measures import Measures, measure, normalised, to_int16
from trackfarm_worker.engine.messages import (
    EngineTrack,
    Failed,
    Finished,
    Progress,
    Result,
    StageSeconds,
    Stopped,
)
from trackfarm_worker.engine.recipe import Recipe, Refusal, recipe

OnProgress = Callable[[Progress], bool]


class TrackMaker:
    """Holds the model, an `AceStepPipeline`. Not thread-safe."""

    def __init__(self, pipeline: Any, model_set: ModelSet, spool: Path) -> None:
        self._pipeline = pipeline
        self._denoiser = Denoiser(pipeline)
        self._model_set = model_set
        self._spool = spool

    def make(self, track: EngineTrack, name: str, on_progress: OnProgress) -> Result:
        """Makes one track and writes `<spool>/<name>.npy`.

        `on_progress` is called between steps; the track is stopped where it says False.
        """
        match recipe(track, self._model_set):
            case Refusal(kind=kind, message=message):
                return Failed(track_id=track.track_id, kind=kind, message=message)
            case Recipe() as made:
                try:
                    return self._make(track.track_id, made, name, on_progress)
                except Exception as error:  # noqa: BLE001 - one track never takes others along
                    traceback.print_exc(file=sys.stderr)
                    kind, message = _kind_of(error), f"{type(error).__name__}: {error}"
                    return Failed(track_id=track.track_id, kind=kind, message=message[:2000])

    def _make(self, track_id: int, made: Recipe, name: str, on_progress: OnProgress) -> Result:
        def denoised(step: int) -> bool:
            return on_progress(
                Progress(track_id=track_id, stage="denoise", step=step, steps=made.steps)
            )

        def decoded(step: int, steps: int) -> bool:
            return on_progress(Progress(track_id=track_id, stage="decode", step=step, steps=steps))

        began = time.perf_counter()
        if not on_progress(Progress(track_id=track_id, stage="condition", step=0, steps=1)):
            return Stopped(track_id=track_id)
        latents, condition = self._denoiser.denoise(made, on_step=denoised)
        self._synchronise()
        denoised_at = time.perf_counter()
        if latents is None:
            return Stopped(track_id=track_id)
        raw = decode(self._pipeline.vae, latents, frames=made.frames, on_window=decoded)
        if raw is None:
            return Stopped(track_id=track_id)
        timings = StageSeconds(
            condition=condition,
            denoise=denoised_at - began - condition,
            decode=time.perf_counter() - denoised_at,
        )
        return self._deliver(track_id, raw, self._spool / f"{name}.npy", timings)

    def _deliver(
        self, track_id: int, raw: NDArray[np.float32], path: Path, timings: StageSeconds
    ) -> Result:
        audio = normalised(raw)
        measures = measure(audio, raw_peak=float(np.max(np.abs(raw))))
        if failure := _fault(measures):
            kind, message = failure
            return Failed(track_id=track_id, kind=kind, message=message, timings=timings)
        _write(path, to_int16(audio))
        return Finished(
            track_id=track_id,
            path=path,
            sample_rate=self._model_set.sample_rate,
            channels=audio.shape[1],
            frames=audio.shape[0],
            measures=measures,
            timings=timings,
        )

    def _synchronise(self) -> None:
        if self._pipeline.device.type == "cuda":
            torch.cuda.synchronize()


def _fault(measures: Measures) -> tuple[FailureKind, str] | None:
    if not measures.finite:
        return FailureKind.NOT_FINITE, "the audio holds values that are not finite"
    if measures.silent:
        levels = f"peak {measures.raw_peak_dbfs:.1f} dBFS before normalisation"
        return FailureKind.SILENT, f"the audio is silent: {levels}, rms {measures.rms_dbfs:.1f}"
    return None


def _kind_of(error: Exception) -> FailureKind:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FailureKind.DISK_FULL
    return FailureKind.ENGINE_ERROR


def _write(path: Path, samples: NDArray[np.int16]) -> None:
    """Writes under another name first: what bears the final name is whole."""
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as stream:
            np.save(stream, samples, allow_pickle=False)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
