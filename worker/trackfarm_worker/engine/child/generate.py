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

from trackfarm_worker.engine.child.audio_writer import Sound
from trackfarm_worker.engine.child.conditioning import Conditioner, Ground, Material
from trackfarm_worker.engine.child.device import is_out_of_memory, kind_of, told
from trackfarm_worker.engine.child.memory import MemoryLimits
from trackfarm_worker.engine.child.recipe import EngineJob
from trackfarm_worker.engine.child.render import Outcome, Rendered, Renderer, RenderQueue
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.protocol import Finished, Stage, TrackFailedReport, TrackStopped

Made = Sound | TrackFailedReport | TrackStopped | EngineJob
"""Audio to write, another answer, or the next try of a track whose audio was rejected."""


def track_of(made: Made) -> int:
    return made.finished.track_id if isinstance(made, Sound) else made.track_id


class ProgressObserver(Protocol):
    """Observer of a batch, which can stop its tracks."""

    def tell(self, track_ids: Sequence[int], stage: Stage, step: int, steps: int) -> None: ...

    def is_stopped(self, track_id: int) -> bool: ...


class Denoising(Protocol):
    def denoise(
        self, materials: Sequence[Material], on_step: Callable[[int, int], Collection[int]]
    ) -> tuple[list[torch.Tensor | None], float]: ...


class Decoding(Protocol):
    window: int
    at_once: int

    def decode(
        self,
        latents: Mapping[int, torch.Tensor],
        on_pass: Callable[[int, int, Mapping[int, int]], Collection[int]],
    ) -> Iterator[tuple[int, torch.Tensor]]: ...


class BatchMaker:
    """Maker of one batch at a time; not thread-safe. `precise` is a context in which the model
    computes in float32, for a track with overflowed latents, or None if it always does. `spool` is
    the folder of the audio files."""

    def __init__(
        self,
        *,
        conditioner: Conditioner,
        denoiser: Denoising,
        decoder: Decoding,
        delivery: Renderer,
        ledger: TimeAccount,
        spool: Path,
        sample_rate: int,
        synchronise: Callable[[], None] = lambda: None,
        precise: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._conditioner = conditioner
        self._denoiser = denoiser
        self._decoder = decoder
        self._deliveries = RenderQueue(delivery.render)
        self._ledger = ledger
        self._spool = spool
        self._sample_rate = sample_rate
        self._synchronise = synchronise
        self._precise = precise

    def fit(self, room: MemoryLimits) -> None:
        """Set the decoding windows. Sources are always encoded in the same windows, because a
        cover's tokens must not depend on the available memory."""
        self._decoder.window, self._decoder.at_once = room.window, room.windows

    def make(self, jobs: Sequence[EngineJob], watch: ProgressObserver) -> Iterator[Made]:
        """Yield one answer per job, each as soon as it is known.

        An error of a single track becomes its answer. An error of the whole batch is raised; jobs
        without an answer can then be made again.
        """
        self._lap(None, [job.track_id for job in jobs])
        grounds: list[Ground] = []
        active: list[EngineJob] = []
        for job, ground in self._encode_inputs(jobs, watch):
            if isinstance(ground, Ground):
                grounds.append(ground)
                active.append(job)
            else:
                yield ground
        if active:
            yield from self._make(active, grounds, watch)

    def _make(
        self, jobs: Sequence[EngineJob], grounds: Sequence[Ground], watch: ProgressObserver
    ) -> Iterator[Made]:
        materials = self._conditioner.materials(grounds)
        self._lap("condition", [job.track_id for job in jobs])
        on_step = partial(self._between_steps, jobs, watch)
        latents, padding = self._denoiser.denoise(materials, on_step)
        denoised = {
            place: track_latents
            for place, track_latents in enumerate(latents)
            if track_latents is not None
        }
        self._lap("denoise", {jobs[place].track_id: _cost(jobs[place]) for place in denoised})
        repaired = {
            place: self._repaired(jobs[place], materials[place], track_latents)
            for place, track_latents in denoised.items()
        }
        decoded = set()
        passes = max(job.recipe.steps for job in jobs) / len(jobs)
        answer = partial(self._answer, batch_size=len(jobs), padding=padding, passes=passes)
        try:
            decoding = self._decoder.decode(repaired, partial(self._between_passes, jobs, watch))
            for place, audio in decoding:
                decoded.add(place)
                self._deliveries.begin(jobs[place], audio)
                yield from starmap(answer, self._deliveries.ended(all_of_them=False))
            yield from starmap(answer, self._deliveries.ended(all_of_them=True))
        finally:
            self._deliveries.drop()
        yield from (self._stopped(job) for place, job in enumerate(jobs) if place not in decoded)

    def _encode_inputs(
        self, jobs: Sequence[EngineJob], watch: ProgressObserver
    ) -> Iterator[tuple[EngineJob, Ground | TrackFailedReport | TrackStopped]]:
        for done, job in enumerate(jobs):
            watch.tell([job.track_id for job in jobs], "condition", done, len(jobs))
            if watch.is_stopped(job.track_id):
                yield job, self._stopped(job)
                continue
            try:
                ground: Ground | TrackFailedReport = self._conditioner.ground(job)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                ground = self._failed(job, error)
            self._lap("condition", [job.track_id])
            yield job, ground

    def _repaired(self, job: EngineJob, material: Material, latents: torch.Tensor) -> torch.Tensor:
        """Recompute latents that are not finite in higher precision, if available."""
        if self._precise is None or bool(torch.isfinite(latents).all()):
            return latents
        with self._precise():
            repeated, _ = self._denoiser.denoise([material], lambda *_: ())
        self._lap("denoise", [job.track_id])
        return latents if repeated[0] is None else repeated[0]

    def _answer(
        self, job: EngineJob, outcome: Outcome, *, batch_size: int, padding: float, passes: float
    ) -> Made:
        rendered = outcome.result()
        self._lap(None, [job.track_id])
        if isinstance(rendered, Rendered):
            frames, channels = rendered.samples.shape
            finished = Finished(
                track_id=job.track_id,
                path=self._spool / f"{job.name}.npy",
                sample_rate=self._sample_rate,
                channels=channels,
                frames=frames,
                measures=rendered.measures,
                timings=self._ledger.settle(job.track_id),
                seed=job.seed,
                batch_size=batch_size,
                padding=padding,
                passes=passes,
            )
            return Sound(finished, rendered.samples)
        if job.attempt + 1 < len(job.recipe.seeds):
            return replace(job, attempt=job.attempt + 1)
        seeds = ", ".join(map(str, job.recipe.seeds))
        return TrackFailedReport(
            track_id=job.track_id,
            kind=rendered.kind,
            message=f"{rendered.message} (seeds tried: {seeds})",
            timings=self._ledger.settle(job.track_id),
        )

    def _between_steps(
        self, jobs: Sequence[EngineJob], watch: ProgressObserver, step: int, steps: int
    ) -> set[int]:
        return _report_step(jobs, watch, "denoise", step, steps)

    def _between_passes(
        self,
        jobs: Sequence[EngineJob],
        watch: ProgressObserver,
        step: int,
        steps: int,
        windows: Mapping[int, int],
    ) -> set[int]:
        self._lap("decode", {jobs[place].track_id: count for place, count in windows.items()})
        return _report_step(jobs, watch, "decode", step, steps)

    def _lap(self, stage: Stage | None, shares: Mapping[int, float] | Sequence[int]) -> None:
        self._synchronise()
        weights = shares if isinstance(shares, Mapping) else dict.fromkeys(shares, 1.0)
        self._ledger.lap(stage, weights)

    def _stopped(self, job: EngineJob) -> TrackStopped:
        self._ledger.settle(job.track_id)
        return TrackStopped(track_id=job.track_id)

    def _failed(self, job: EngineJob, error: Exception) -> TrackFailedReport:
        traceback.print_exception(error, file=sys.stderr)
        self._lap(None, [job.track_id])
        timings = self._ledger.settle(job.track_id)
        return TrackFailedReport(
            track_id=job.track_id, kind=kind_of(error), message=told(error), timings=timings
        )


def _cost(job: EngineJob) -> float:
    """Return the cost of a track's denoising, relative to others in its batch."""
    return job.seconds * job.recipe.steps * job.recipe.passes


def _report_step(
    jobs: Sequence[EngineJob], watch: ProgressObserver, stage: Stage, step: int, steps: int
) -> set[int]:
    """Report a step, then return the positions of the jobs to stop."""
    active = [job.track_id for job in jobs if not watch.is_stopped(job.track_id)]
    if active:
        watch.tell(active, stage, step, steps)
    return {place for place, job in enumerate(jobs) if watch.is_stopped(job.track_id)}
