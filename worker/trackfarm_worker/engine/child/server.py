"""Main loop of the engine process: makes run after run, batch after batch, on one device."""

import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from trackfarm.model_sets import ModelSet
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.audio_writer import AcceptedAudio, AudioWriter
from trackfarm_worker.engine.child.batching import TrackLoad, batches, pass_seconds
from trackfarm_worker.engine.child.device import Device
from trackfarm_worker.engine.child.failure import MAX_MESSAGE, EngineFailure, failure_of
from trackfarm_worker.engine.child.generate import BatchGenerator, track_id_of
from trackfarm_worker.engine.child.memory import degrade
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.protocol import (
    Computed,
    EngineProgress,
    EngineStage,
    FailedTrack,
    Report,
    Retired,
    Run,
    RunDone,
    TrackResult,
)

Send = Callable[[Report], None]


class StopRequests(Protocol):
    """Source of stop requests (`trackfarm_worker.engine.child.control.ControlChannel`)."""

    def is_stopped(self, run_id: int, track_id: int) -> bool: ...

    def pause(self, seconds: float, run_id: int, track_ids: Collection[int]) -> None: ...

    def discard_stops(self, run_id: int) -> None: ...


class MemoryExhausted(Exception):
    """The process must exit, because its device's memory is exhausted. The parent has been told."""


class RunReporter:
    """Channel of a run to the parent: reports each step and result, and knows the tracks to
    stop."""

    def __init__(self, run_id: int, stops: StopRequests, send: Send, step_delay: float) -> None:
        self._run_id = run_id
        self._stops = stops
        self._send = send
        self._step_delay = step_delay

    def report_step(
        self, track_ids: Sequence[int], stage: EngineStage, step: int, steps: int
    ) -> None:
        self._send(
            EngineProgress(
                run_id=self._run_id,
                track_ids=list(track_ids),
                stage=stage,
                step=step,
                steps=steps,
            )
        )
        if self._step_delay and stage == "denoise" and step < steps:
            self._stops.pause(self._step_delay, self._run_id, track_ids)

    def is_stopped(self, track_id: int) -> bool:
        return self._stops.is_stopped(self._run_id, track_id)

    def report_result(self, result: TrackResult) -> None:
        self._send(result.model_copy(update={"run_id": self._run_id}))


class EngineServer:
    """Server that answers every track of a run exactly once, as soon as possible, so that finished
    tracks survive a stop.

    Audio is written, and reported, by the writer's thread, which therefore also calls `send`.
    """

    def __init__(
        self,
        *,
        generator: BatchGenerator,
        writer: AudioWriter,
        device: Device,
        model_set: ModelSet,
        time_account: TimeAccount,
        stops: StopRequests,
        send: Send,
        step_delay: float,
    ) -> None:
        self._generator = generator
        self._writer = writer
        self._device = device
        self._model_set = model_set
        self._time_account = time_account
        self._stops = stops
        self._send = send
        self._step_delay = step_delay

    def run(self, run: Run) -> None:
        """Make the tracks of one run; the last of them may still be written when it returns.

        Raises MemoryExhausted when this process can make no more.
        """
        if not run.has_waited:
            self._time_account.reset()
        reporter = RunReporter(run.run_id, self._stops, self._send, self._step_delay)
        groups = [self._admit(run, reporter)]
        while groups:
            group = groups.pop(0)
            if group:
                batch = self._next_batch(group)
                separate_groups, retries = self._make(batch, reporter)
                rest = [track for track in group if track not in batch]
                groups = [*separate_groups, [*rest, *retries], *groups]
        self._stops.discard_stops(run.run_id)
        self._send(Computed(run_id=run.run_id))
        self._writer.call_when_written(partial(self._send, RunDone(run_id=run.run_id)))

    def _admit(self, run: Run, reporter: RunReporter) -> list[TrackTry]:
        """Return the tracks that can be made; answer the others."""
        tracks = []
        for requested in run.tracks:
            track = first_try(requested, self._model_set, f"{run.run_id}-{requested.track_id}")
            if isinstance(track, TrackTry):
                tracks.append(track)
            else:
                reporter.report_result(
                    FailedTrack(
                        track_id=requested.track_id,
                        kind=track.kind,
                        message=track.message[:MAX_MESSAGE],
                    )
                )
        return tracks

    def _next_batch(self, group: Sequence[TrackTry]) -> list[TrackTry]:
        limit = self._device.memory_limits.limit
        first = batches([_load(track) for track in group], limit)[0]
        return [group[index] for index in first]

    def _make(
        self, batch: Sequence[TrackTry], reporter: RunReporter
    ) -> tuple[list[list[TrackTry]], list[TrackTry]]:
        """Make a batch. Return the groups to make separately, and the tracks to retry with another
        seed."""
        unanswered, retries = list(batch), []
        failure: EngineFailure | None = None
        self._generator.set_windows(self._device.memory_limits)
        try:
            for output in self._generator.generate(batch, reporter):
                unanswered = [t for t in unanswered if t.track_id != track_id_of(output)]
                match output:
                    case AcceptedAudio():
                        self._writer.put(output, reporter.report_result)
                    case TrackTry():
                        retries.append(output)
                    case _:
                        reporter.report_result(output)
        except Exception as error:  # noqa: BLE001 - any error is handled below
            traceback.print_exc(file=sys.stderr)
            # Keep only the text: the exception references the batch's tensors.
            failure = failure_of(error)
        if failure:
            self._device.free_memory()
            return self._recover(batch, unanswered, failure, reporter), retries
        return [], retries

    def _recover(
        self,
        batch: Sequence[TrackTry],
        unanswered: list[TrackTry],
        failure: EngineFailure,
        reporter: RunReporter,
    ) -> list[list[TrackTry]]:
        """Return the groups in which to make the unanswered tracks of a failed batch again."""
        if failure.kind == FailureKind.OUT_OF_MEMORY:
            return self._degrade(batch, unanswered, failure, reporter)
        if len(batch) > 1:
            half = -(-len(unanswered) // 2)
            return [unanswered[:half], unanswered[half:]]
        self._fail(unanswered, failure, reporter)
        return []

    def _degrade(
        self,
        batch: Sequence[TrackTry],
        unanswered: list[TrackTry],
        failure: EngineFailure,
        reporter: RunReporter,
    ) -> list[list[TrackTry]]:
        level = degrade(
            self._device.level,
            tracks=len(batch),
            pass_seconds=pass_seconds([_load(track) for track in batch]),
            can_offload=self._device.can_offload,
        )
        if level:
            self._device.apply_level(level)
        else:
            too_small = replace(failure, message=f"needs a larger tier: {failure.message}")
            self._fail(unanswered, too_small, reporter)
        if self._device.exits_when_exhausted:
            self._writer.flush()
            self._send(Retired(message=failure.message))
            raise MemoryExhausted
        return [unanswered] if level else []

    def _fail(
        self, tracks: Sequence[TrackTry], failure: EngineFailure, reporter: RunReporter
    ) -> None:
        for track in tracks:
            self._time_account.lap(None, {track.track_id: 1.0})
            reporter.report_result(
                FailedTrack(
                    track_id=track.track_id,
                    kind=failure.kind,
                    message=failure.message[:MAX_MESSAGE],
                    timings=self._time_account.take(track.track_id),
                )
            )


def _load(track: TrackTry) -> TrackLoad:
    return TrackLoad(seconds=track.seconds, steps=track.recipe.steps, passes=track.recipe.passes)
