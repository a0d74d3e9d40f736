"""Generation of one batch: encode inputs, condition, denoise, decode, render."""

import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Protocol

import torch

from trackfarm_worker.engine.child.audio_writer import AcceptedAudio
from trackfarm_worker.engine.child.conditioning import Conditioner, Conditioning, EncodedInputs
from trackfarm_worker.engine.child.failure import failure_of, is_out_of_memory
from trackfarm_worker.engine.child.memory import MemoryLimits
from trackfarm_worker.engine.child.recipe import TrackTry
from trackfarm_worker.engine.child.render import Rendered, Renderer, RenderFuture, RenderQueue
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.protocol import (
    EngineStage,
    FailedTrack,
    FinishedTrack,
    StoppedTrack,
)

BatchOutput = AcceptedAudio | FailedTrack | StoppedTrack | TrackTry
"""Audio to write, another answer, or the next try of a track whose audio was rejected."""


def track_id_of(output: BatchOutput) -> int:
    return output.finished.track_id if isinstance(output, AcceptedAudio) else output.track_id


class ProgressObserver(Protocol):
    """Observer of a batch, which can stop its tracks."""

    def report_step(
        self, track_ids: Sequence[int], stage: EngineStage, step: int, steps: int
    ) -> None: ...

    def is_stopped(self, track_id: int) -> bool: ...


class Denoising(Protocol):
    def denoise(
        self, conditionings: Sequence[Conditioning], on_step: Callable[[int, int], Collection[int]]
    ) -> tuple[list[torch.Tensor | None], float]: ...


class Decoding(Protocol):
    window: int
    windows_per_pass: int

    def decode(
        self,
        latents: Mapping[int, torch.Tensor],
        on_pass: Callable[[int, int, Mapping[int, int]], Collection[int]],
    ) -> Iterator[tuple[int, torch.Tensor]]: ...


class BatchGenerator:
    """Generator of one batch at a time; not thread-safe. `precise` is a context in which the model
    computes in float32, for a track with overflowed latents, or None if it always does. `spool` is
    the folder of the audio files."""

    def __init__(
        self,
        *,
        conditioner: Conditioner,
        denoiser: Denoising,
        decoder: Decoding,
        renderer: Renderer,
        time_account: TimeAccount,
        spool: Path,
        sample_rate: int,
        synchronise: Callable[[], None] = lambda: None,
        precise: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._conditioner = conditioner
        self._denoiser = denoiser
        self._decoder = decoder
        self._render_queue = RenderQueue(renderer.render)
        self._time_account = time_account
        self._spool = spool
        self._sample_rate = sample_rate
        self._synchronise = synchronise
        self._precise = precise

    def set_windows(self, limits: MemoryLimits) -> None:
        """Set the decoding windows. Sources are always encoded in the same windows, because a
        cover's tokens must not depend on the available memory."""
        self._decoder.window, self._decoder.windows_per_pass = limits.window, limits.windows

    def generate(
        self, tracks: Sequence[TrackTry], observer: ProgressObserver
    ) -> Iterator[BatchOutput]:
        """Yield one output per track, each as soon as it is known.

        An error of a single track becomes its output. An error of the whole batch is raised; tracks
        without an output can then be made again.
        """
        self._lap(None, [track.track_id for track in tracks])
        inputs: list[EncodedInputs] = []
        active: list[TrackTry] = []
        for track, encoded in self._encode_inputs(tracks, observer):
            if isinstance(encoded, EncodedInputs):
                inputs.append(encoded)
                active.append(track)
            else:
                yield encoded
        if active:
            yield from self._generate(active, inputs, observer)

    def _encode_inputs(
        self, tracks: Sequence[TrackTry], observer: ProgressObserver
    ) -> Iterator[tuple[TrackTry, EncodedInputs | FailedTrack | StoppedTrack]]:
        track_ids = [track.track_id for track in tracks]
        for number, track in enumerate(tracks):
            observer.report_step(track_ids, "condition", number, len(tracks))
            if observer.is_stopped(track.track_id):
                yield track, self._stopped(track)
                continue
            try:
                encoded: EncodedInputs | FailedTrack = self._conditioner.encode_inputs(track)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                encoded = self._failed(track, error)
            self._lap("condition", [track.track_id])
            yield track, encoded

    def _generate(
        self,
        tracks: Sequence[TrackTry],
        inputs: Sequence[EncodedInputs],
        observer: ProgressObserver,
    ) -> Iterator[BatchOutput]:
        conditionings = self._conditioner.condition(inputs)
        self._lap("condition", [track.track_id for track in tracks])
        on_step = partial(self._between_steps, tracks, observer)
        latents, padding = self._denoiser.denoise(conditionings, on_step)
        denoised = {
            position: track_latents
            for position, track_latents in enumerate(latents)
            if track_latents is not None
        }
        self._lap("denoise", {tracks[i].track_id: _cost(tracks[i]) for i in denoised})
        repaired = {
            position: self._repair(tracks[position], conditionings[position], track_latents)
            for position, track_latents in denoised.items()
        }
        decoded = set()
        passes = max(track.recipe.evaluations for track in tracks) / len(tracks)
        output = partial(self._output, batch_size=len(tracks), padding=padding, passes=passes)
        queue = self._render_queue
        try:
            on_pass = partial(self._between_passes, tracks, observer)
            for position, audio in self._decoder.decode(repaired, on_pass):
                decoded.add(position)
                queue.submit(tracks[position], audio)
                yield from starmap(output, queue.finished(wait_for_all=False))
            yield from starmap(output, queue.finished(wait_for_all=True))
        finally:
            queue.cancel()
        yield from (self._stopped(track) for i, track in enumerate(tracks) if i not in decoded)

    def _repair(
        self, track: TrackTry, conditioning: Conditioning, latents: torch.Tensor
    ) -> torch.Tensor:
        """Recompute latents that are not finite in higher precision, if available."""
        if self._precise is None or bool(torch.isfinite(latents).all()):
            return latents
        with self._precise():
            repeated, _ = self._denoiser.denoise([conditioning], lambda *_: ())
        self._lap("denoise", [track.track_id])
        return latents if repeated[0] is None else repeated[0]

    def _output(
        self,
        track: TrackTry,
        future: RenderFuture,
        *,
        batch_size: int,
        padding: float,
        passes: float,
    ) -> BatchOutput:
        rendered = future.result()
        self._lap(None, [track.track_id])
        if isinstance(rendered, Rendered):
            frames, channels = rendered.samples.shape
            finished = FinishedTrack(
                track_id=track.track_id,
                path=self._spool / f"{track.name}.npy",
                sample_rate=self._sample_rate,
                channels=channels,
                frames=frames,
                measures=rendered.measures,
                timings=self._time_account.take(track.track_id),
                seed=track.seed,
                batch_size=batch_size,
                padding=padding,
                passes=passes,
            )
            return AcceptedAudio(finished, rendered.samples)
        if track.attempt + 1 < len(track.recipe.seeds):
            return replace(track, attempt=track.attempt + 1)
        seeds = ", ".join(map(str, track.recipe.seeds))
        return FailedTrack(
            track_id=track.track_id,
            kind=rendered.kind,
            message=f"{rendered.message} (seeds tried: {seeds})",
            timings=self._time_account.take(track.track_id),
        )

    def _between_steps(
        self, tracks: Sequence[TrackTry], observer: ProgressObserver, step: int, steps: int
    ) -> set[int]:
        return _report_step(tracks, observer, "denoise", step, steps)

    def _between_passes(
        self,
        tracks: Sequence[TrackTry],
        observer: ProgressObserver,
        step: int,
        steps: int,
        windows: Mapping[int, int],
    ) -> set[int]:
        self._lap("decode", {tracks[i].track_id: count for i, count in windows.items()})
        return _report_step(tracks, observer, "decode", step, steps)

    def _lap(self, stage: EngineStage | None, shares: Mapping[int, float] | Sequence[int]) -> None:
        self._synchronise()
        weights = shares if isinstance(shares, Mapping) else dict.fromkeys(shares, 1.0)
        self._time_account.lap(stage, weights)

    def _stopped(self, track: TrackTry) -> StoppedTrack:
        self._time_account.take(track.track_id)
        return StoppedTrack(track_id=track.track_id)

    def _failed(self, track: TrackTry, error: Exception) -> FailedTrack:
        traceback.print_exception(error, file=sys.stderr)
        self._lap(None, [track.track_id])
        failure = failure_of(error)
        return FailedTrack(
            track_id=track.track_id,
            kind=failure.kind,
            message=failure.message,
            timings=self._time_account.take(track.track_id),
        )


def _cost(track: TrackTry) -> float:
    """Return the cost of a track's denoising, relative to others in its batch."""
    return track.seconds * track.recipe.evaluations * track.recipe.passes


def _report_step(
    tracks: Sequence[TrackTry],
    observer: ProgressObserver,
    stage: EngineStage,
    step: int,
    steps: int,
) -> set[int]:
    """Report a step, then return the positions of the tracks to stop."""
    active = [track.track_id for track in tracks if not observer.is_stopped(track.track_id)]
    if active:
        observer.report_step(active, stage, step, steps)
    return {i for i, track in enumerate(tracks) if observer.is_stopped(track.track_id)}
