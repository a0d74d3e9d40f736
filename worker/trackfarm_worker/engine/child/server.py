"""Main loop of the engine process: makes run after run, batch after batch, on one device."""

import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from trackfarm.model_sets import ModelSet
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.audio_writer import Sound, Spool
from trackfarm_worker.engine.child.batching import TrackLoad, batches, weight
from trackfarm_worker.engine.child.device import Device, kind_of, told
from trackfarm_worker.engine.child.generate import BatchMaker, track_of
from trackfarm_worker.engine.child.measures import AudioFault
from trackfarm_worker.engine.child.memory import degrade
from trackfarm_worker.engine.child.recipe import EngineJob, engine_job
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.protocol import (
    BatchDone,
    Computed,
    EngineProgress,
    Report,
    Result,
    Retired,
    Run,
    Stage,
    TrackFailedReport,
)

Send = Callable[[Report], None]


class Stops(Protocol):
    """Source of stop requests (`trackfarm_worker.engine.child.control.ControlChannel`)."""

    def is_stopped(self, batch_id: int, track_id: int) -> bool: ...

    def pause(self, seconds: float, batch_id: int, track_ids: Collection[int]) -> None: ...

    def forget(self, batch_id: int) -> None: ...


class RetireNow(Exception):
    """The process must exit, because its device's memory is exhausted. The parent has been told."""


class RunWatch:
    """Channel of a run to the parent: reports each step and answer, and knows the tracks to
    stop."""

    def __init__(self, run_id: int, orders: Stops, send: Send, step_delay: float) -> None:
        self._run_id = run_id
        self._orders = orders
        self._send = send
        self._step_delay = step_delay

    def tell(self, track_ids: Sequence[int], stage: Stage, step: int, steps: int) -> None:
        self._send(
            EngineProgress(
                batch_id=self._run_id,
                track_ids=list(track_ids),
                stage=stage,
                step=step,
                steps=steps,
            )
        )
        if self._step_delay and stage == "denoise" and step < steps:
            self._orders.pause(self._step_delay, self._run_id, track_ids)

    def is_stopped(self, track_id: int) -> bool:
        return self._orders.is_stopped(self._run_id, track_id)

    def answer(self, result: Result) -> None:
        self._send(result.model_copy(update={"batch_id": self._run_id}))


class EngineServer:
    """Server that answers every track of a run exactly once, as soon as possible, so that finished
    tracks survive a stop.

    Audio is written, and answered, by the spool's thread, which therefore also calls `send`.
    """

    def __init__(
        self,
        *,
        maker: BatchMaker,
        spool: Spool,
        device: Device,
        model_set: ModelSet,
        ledger: TimeAccount,
        orders: Stops,
        send: Send,
        step_delay: float,
    ) -> None:
        self._maker = maker
        self._spool = spool
        self._device = device
        self._model_set = model_set
        self._ledger = ledger
        self._orders = orders
        self._send = send
        self._step_delay = step_delay

    def run(self, order: Run) -> None:
        """Make the tracks of one run; the last of them may still be written when it returns.

        Raises RetireNow when this process can make no more.
        """
        if not order.has_waited:
            self._ledger.reset()
        watch = RunWatch(order.batch_id, self._orders, self._send, self._step_delay)
        groups = [self._admitted(order, watch)]
        while groups:
            group = groups.pop(0)
            if group:
                batch = self._next_batch(group)
                separate_groups, retries = self._make(batch, watch)
                rest = [job for job in group if job not in batch]
                groups = [*separate_groups, [*rest, *retries], *groups]
        self._orders.forget(order.batch_id)
        self._send(Computed(batch_id=order.batch_id))
        self._spool.then(partial(self._send, BatchDone(batch_id=order.batch_id)))

    def _admitted(self, order: Run, watch: RunWatch) -> list[EngineJob]:
        """Return the jobs of the run; answer refused tracks."""
        jobs = []
        for track in order.tracks:
            admitted = engine_job(track, self._model_set, f"{order.batch_id}-{track.track_id}")
            if isinstance(admitted, EngineJob):
                jobs.append(admitted)
            else:
                watch.answer(
                    TrackFailedReport(
                        track_id=track.track_id, kind=admitted.kind, message=admitted.message[:2000]
                    )
                )
        return jobs

    def _next_batch(self, group: Sequence[EngineJob]) -> list[EngineJob]:
        first = batches([_load(job) for job in group], self._device.limit)[0]
        return [group[place] for place in first]

    def _make(
        self, batch: Sequence[EngineJob], watch: RunWatch
    ) -> tuple[list[list[EngineJob]], list[EngineJob]]:
        """Make a batch. Return the groups to make separately, and the jobs to retry with another
        seed."""
        unanswered, retries = list(batch), []
        failure: AudioFault | None = None
        self._maker.fit(self._device.room)
        try:
            for answer in self._maker.make(batch, watch):
                unanswered = [job for job in unanswered if job.track_id != track_of(answer)]
                match answer:
                    case Sound():
                        self._spool.put(answer, watch.answer)
                    case EngineJob():
                        retries.append(answer)
                    case _:
                        watch.answer(answer)
        except Exception as error:  # noqa: BLE001 - any error is handled below
            traceback.print_exc(file=sys.stderr)
            # Keep only the text: the exception references the batch's tensors.
            failure = AudioFault(kind_of(error), told(error))
        if failure:
            self._device.reclaim()
            return self._recover(batch, unanswered, failure, watch), retries
        return [], retries

    def _recover(
        self,
        batch: Sequence[EngineJob],
        left: list[EngineJob],
        failure: AudioFault,
        watch: RunWatch,
    ) -> list[list[EngineJob]]:
        if failure.kind == FailureKind.OUT_OF_MEMORY:
            return self._relieve(batch, left, failure, watch)
        if len(batch) > 1:
            half = -(-len(left) // 2)
            return [left[:half], left[half:]]
        self._fail(left, failure, watch)
        return []

    def _relieve(
        self,
        batch: Sequence[EngineJob],
        left: list[EngineJob],
        failure: AudioFault,
        watch: RunWatch,
    ) -> list[list[EngineJob]]:
        rung = degrade(
            self._device.rung,
            tracks=len(batch),
            weight=weight([_load(job) for job in batch]),
            can_offload=self._device.can_offload,
        )
        if rung:
            self._device.settle(rung)
        else:
            too_small = replace(failure, message=f"needs a larger tier: {failure.message}")
            self._fail(left, too_small, watch)
        if self._device.ends_when_exhausted:
            self._spool.flush()
            self._send(Retired(message=failure.message))
            raise RetireNow
        return [left] if rung else []

    def _fail(self, jobs: Sequence[EngineJob], failure: AudioFault, watch: RunWatch) -> None:
        for failed_job in jobs:
            self._ledger.lap(None, {failed_job.track_id: 1.0})
            watch.answer(
                TrackFailedReport(
                    track_id=failed_job.track_id,
                    kind=failure.kind,
                    message=failure.message[:2000],
                    timings=self._ledger.settle(failed_job.track_id),
                )
            )


def _load(job: EngineJob) -> TrackLoad:
    return TrackLoad(seconds=job.seconds, steps=job.recipe.steps, passes=job.recipe.passes)
