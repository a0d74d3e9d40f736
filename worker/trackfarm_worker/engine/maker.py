"""One batch from orders to sounds: ground, condition, denoise, decode, render."""

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

from trackfarm_worker.engine.conditioning import Conditioner, Ground, Material
from trackfarm_worker.engine.deliveries import Deliveries, Outcome
from trackfarm_worker.engine.delivery import Delivery, Rendered
from trackfarm_worker.engine.exhaustion import is_out_of_memory, kind_of, told
from trackfarm_worker.engine.intake import Job
from trackfarm_worker.engine.ledger import Ledger
from trackfarm_worker.engine.limits import Room
from trackfarm_worker.engine.messages import Failed, Finished, Stage, Stopped
from trackfarm_worker.engine.spool import Sound

Made = Sound | Failed | Stopped | Job
"""Audio to be written, another answer, or the next try of a track whose audio was of no use."""


def track_of(made: Made) -> int:
    return made.finished.track_id if isinstance(made, Sound) else made.track_id


class Watch(Protocol):
    """Who follows a batch, and can stop its tracks."""

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
    """Makes one batch at a time; not thread-safe. `precise` is a context in which the model
    computes in float32, for a track whose latents overflowed, or None where it does already.
    `spool` is where the sounds are to be left."""

    def __init__(
        self,
        *,
        conditioner: Conditioner,
        denoiser: Denoising,
        decoder: Decoding,
        delivery: Delivery,
        ledger: Ledger,
        spool: Path,
        sample_rate: int,
        synchronise: Callable[[], None] = lambda: None,
        precise: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._conditioner = conditioner
        self._denoiser = denoiser
        self._decoder = decoder
        self._deliveries = Deliveries(delivery.render)
        self._ledger = ledger
        self._spool = spool
        self._sample_rate = sample_rate
        self._synchronise = synchronise
        self._precise = precise

    def fit(self, room: Room) -> None:
        """Decodes in windows of this size from now on. Sources are encoded in the same windows for
        ever: a cover's tokens must not depend on what memory there was."""
        self._decoder.window, self._decoder.at_once = room.window, room.windows

    def make(self, jobs: Sequence[Job], watch: Watch) -> Iterator[Made]:
        """Yields one answer per job, each as soon as it is known.

        What concerns a single track is its answer. What breaks the batch is raised: then the jobs
        that have no answer yet are as if they had never been begun.
        """
        self._lap(None, [job.track_id for job in jobs])
        grounds: list[Ground] = []
        going: list[Job] = []
        for job, ground in self._grounds(jobs, watch):
            if isinstance(ground, Ground):
                grounds.append(ground)
                going.append(job)
            else:
                yield ground
        if going:
            yield from self._make(going, grounds, watch)

    def _make(self, jobs: Sequence[Job], grounds: Sequence[Ground], watch: Watch) -> Iterator[Made]:
        materials = self._conditioner.materials(grounds)
        self._lap("condition", [job.track_id for job in jobs])
        on_step = partial(self._between_steps, jobs, watch)
        latents, padding = self._denoiser.denoise(materials, on_step)
        made = {place: found for place, found in enumerate(latents) if found is not None}
        self._lap("denoise", {jobs[place].track_id: _cost(jobs[place]) for place in made})
        kept = {
            place: self._mended(jobs[place], materials[place], found)
            for place, found in made.items()
        }
        whole = set()
        passes = max(job.recipe.steps for job in jobs) / len(jobs)
        answer = partial(self._answer, batch_size=len(jobs), padding=padding, passes=passes)
        try:
            decoding = self._decoder.decode(kept, partial(self._between_passes, jobs, watch))
            for place, audio in decoding:
                whole.add(place)
                self._deliveries.begin(jobs[place], audio)
                yield from starmap(answer, self._deliveries.ended(all_of_them=False))
            yield from starmap(answer, self._deliveries.ended(all_of_them=True))
        finally:
            self._deliveries.drop()
        yield from (self._stopped(job) for place, job in enumerate(jobs) if place not in whole)

    def _grounds(
        self, jobs: Sequence[Job], watch: Watch
    ) -> Iterator[tuple[Job, Ground | Failed | Stopped]]:
        for done, job in enumerate(jobs):
            watch.tell([job.track_id for job in jobs], "condition", done, len(jobs))
            if watch.is_stopped(job.track_id):
                yield job, self._stopped(job)
                continue
            try:
                ground: Ground | Failed = self._conditioner.ground(job)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                ground = self._failed(job, error)
            self._lap("condition", [job.track_id])
            yield job, ground

    def _mended(self, job: Job, material: Material, latents: torch.Tensor) -> torch.Tensor:
        """Latents that are not finite are made again with more precision, where there is more."""
        if self._precise is None or bool(torch.isfinite(latents).all()):
            return latents
        with self._precise():
            again, _ = self._denoiser.denoise([material], lambda *_: ())
        self._lap("denoise", [job.track_id])
        return latents if again[0] is None else again[0]

    def _answer(
        self, job: Job, outcome: Outcome, *, batch_size: int, padding: float, passes: float
    ) -> Made:
        made = outcome.result()
        self._lap(None, [job.track_id])
        if isinstance(made, Rendered):
            frames, channels = made.samples.shape
            finished = Finished(
                track_id=job.track_id,
                path=self._spool / f"{job.name}.npy",
                sample_rate=self._sample_rate,
                channels=channels,
                frames=frames,
                measures=made.measures,
                timings=self._ledger.settle(job.track_id),
                seed=job.seed,
                batch_size=batch_size,
                padding=padding,
                passes=passes,
            )
            return Sound(finished, made.samples)
        if job.attempt + 1 < len(job.recipe.seeds):
            return replace(job, attempt=job.attempt + 1)
        tried = ", ".join(map(str, job.recipe.seeds))
        return Failed(
            track_id=job.track_id,
            kind=made.kind,
            message=f"{made.message} (seeds tried: {tried})",
            timings=self._ledger.settle(job.track_id),
        )

    def _between_steps(self, jobs: Sequence[Job], watch: Watch, step: int, steps: int) -> set[int]:
        return _told(jobs, watch, "denoise", step, steps)

    def _between_passes(
        self, jobs: Sequence[Job], watch: Watch, step: int, steps: int, windows: Mapping[int, int]
    ) -> set[int]:
        self._lap("decode", {jobs[place].track_id: count for place, count in windows.items()})
        return _told(jobs, watch, "decode", step, steps)

    def _lap(self, stage: Stage | None, shares: Mapping[int, float] | Sequence[int]) -> None:
        self._synchronise()
        weights = shares if isinstance(shares, Mapping) else dict.fromkeys(shares, 1.0)
        self._ledger.lap(stage, weights)

    def _stopped(self, job: Job) -> Stopped:
        self._ledger.settle(job.track_id)
        return Stopped(track_id=job.track_id)

    def _failed(self, job: Job, error: Exception) -> Failed:
        traceback.print_exception(error, file=sys.stderr)
        self._lap(None, [job.track_id])
        timings = self._ledger.settle(job.track_id)
        return Failed(
            track_id=job.track_id, kind=kind_of(error), message=told(error), timings=timings
        )


def _cost(job: Job) -> float:
    """What a track's denoising costs, relative to others in its batch."""
    return job.seconds * job.recipe.steps * job.recipe.passes


def _told(jobs: Sequence[Job], watch: Watch, stage: Stage, step: int, steps: int) -> set[int]:
    """Reports a step; answers with the places of the jobs that are to stop, as of afterwards."""
    going = [job.track_id for job in jobs if not watch.is_stopped(job.track_id)]
    if going:
        watch.tell(going, stage, step, steps)
    return {place for place, job in enumerate(jobs) if watch.is_stopped(job.track_id)}
