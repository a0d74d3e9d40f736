"""The engine as the worker's task threads use it: batches in, one result per track out."""

import itertools
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from trackfarm.wire import FailureKind
from trackfarm_worker.engine.batch import Batch, OnEvent
from trackfarm_worker.engine.child import EngineChild, OnLog
from trackfarm_worker.engine.mail import Ending
from trackfarm_worker.engine.messages import (
    BatchDone,
    Computed,
    EngineTrack,
    Event,
    LoadFailed,
    Ready,
    Result,
    Retired,
    Run,
    Stop,
)
from trackfarm_worker.engine.settings import EngineSettings
from trackfarm_worker.engine.supervisor import EngineStartFailed, Supervisor
from trackfarm_worker.engine.turns import Ticket, Turns

# An engine that is lost this often before it began a track is not the tracks' fault.
MAX_IDLE_LOSSES = 3


class EngineProcess:
    """Owns the one process that imports torch. Thread-safe: batches take turns in order.

    The process is watched and replaced as soon as it ends; `restarts` counts that. `on_log` gets
    each line that it writes to stderr.
    """

    def __init__(self, settings: EngineSettings, *, on_log: OnLog = lambda _: None) -> None:
        self._settings = settings
        self._supervisor = Supervisor(settings, on_log)
        self._on_log = on_log
        self._turns = Turns()
        self._lock = threading.Lock()
        self._batches: list[Batch] = []
        self._computing: tuple[Batch, EngineChild, int] | None = None
        self._numbers = itertools.count(1)
        self._free_since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Ready:
        """Waits until the model is loaded. Raises EngineStartFailed (and leaves nothing)."""
        return self._supervisor.start()

    @property
    def pid(self) -> int | None:
        """Of the loaded process; None while it is being replaced."""
        return self._supervisor.pid

    @property
    def depth(self) -> int:
        """Batches that run or wait for their turn."""
        with self._lock:
            return len(self._batches)

    @property
    def restarts(self) -> int:
        return self._supervisor.restarts

    @property
    def failure(self) -> EngineStartFailed | None:
        """Why the engine is lost for good, when three starts in a row failed."""
        return self._supervisor.failure

    def run(
        self, tracks: Sequence[EngineTrack], on_event: OnEvent = lambda _: None
    ) -> list[Result]:
        """Makes the tracks when their turn has come; one result each, in the order given.

        `on_event` hears of every progress and every result at once, in this thread; what it raises
        is logged and changes nothing. When the engine dies or hangs, the tracks of the batch that it
        was making go to its successor in halves, until the one is alone that is Failed. After
        `close`, tracks are Stopped. Raises EngineStartFailed when there is no engine any more.
        """
        batch, arrived = Batch(tracks, self._guarded(on_event)), time.monotonic()
        with self._entered(batch), self._turns.ticket(batch.is_all_to_stop) as ticket:
            losses, has_begun = 0, False
            while batch.remaining() and losses < MAX_IDLE_LOSSES and ticket.wait():
                has_waited = has_begun or arrived < self._free_since
                losses = 0 if self._attempt(batch, ticket, has_waited) else losses + 1
                has_begun = True
            self._answer_rest(batch)
        return batch.results()

    def stop_current(self, track_ids: Collection[int] | None = None) -> None:
        """Stops tracks (None: all) between two steps, running or waiting. Does not wait."""
        with self._lock:
            for batch in self._batches:
                chosen = batch.stop(track_ids)
                if self._computing and self._computing[0] is batch and chosen:
                    _, child, number = self._computing
                    child.send(Stop(batch_id=number, track_ids=chosen))
        self._turns.poke()
        self._supervisor.poke()

    def close(self) -> None:
        """Ends the engine; what runs is answered as Stopped. Idempotent."""
        self._supervisor.close()
        self.stop_current()

    def _attempt(self, batch: Batch, ticket: Ticket, has_waited: bool) -> bool:
        """Runs what may run together on the engine at hand. False: lost before it began any."""
        child = self._supervisor.current(batch.is_all_to_stop)
        if child is None:
            batch.stop(None)
            batch.answer_stopped()
            return True
        number = next(self._numbers)
        with child.listening(number):
            try:
                is_last = self._send(batch, child, number, has_waited)
                return self._follow(batch, child, number, ticket if is_last else None)
            finally:
                self._leave(number)

    def _send(self, batch: Batch, child: EngineChild, number: int, has_waited: bool) -> bool:
        """Whether that was all that remains of the batch."""
        batch.answer_stopped()
        with self._lock:
            self._computing = batch, child, number
            group = batch.next_group()
            child.send(Run(batch_id=number, tracks=group, has_waited=has_waited))
            child.send(Stop(batch_id=number, track_ids=batch.to_stop()))
        return len(group) == len(batch.remaining())

    def _follow(self, batch: Batch, child: EngineChild, number: int, ticket: Ticket | None) -> bool:
        """Hears of it to its end. A `ticket` is passed on when the device is done with the batch:
        the next one computes while the last tracks of this one are written."""
        while True:
            match child.receive(self._settings.hang_seconds, number):
                case Computed():
                    batch.acquit()
                    self._leave(number)
                    if ticket:
                        ticket.pass_on()
                case BatchDone():
                    return True
                case Retired():
                    batch.acquit()
                    child.gone.wait()
                    return True
                case Ending.SILENT:
                    child.kill()
                    child.gone.wait()
                    seconds = self._settings.hang_seconds
                    message = f"the engine was silent for {seconds:g} s and was killed"
                    return batch.blame(FailureKind.ENGINE_HUNG, message)
                case Ending.GONE if self._supervisor.is_closed:
                    return True
                case Ending.GONE:
                    return batch.blame(FailureKind.ENGINE_DIED, child.ending())
                case Ready() | LoadFailed():
                    raise AssertionError("an engine is set up once")
                case event:
                    batch.note(event)

    def _leave(self, number: int) -> None:
        with self._lock:
            if self._computing and self._computing[2] == number:
                self._computing, self._free_since = None, time.monotonic()

    def _answer_rest(self, batch: Batch) -> None:
        """What never got an engine: stopped, or without one that lives long enough to begin."""
        batch.answer_stopped()
        message = f"the engine was lost {MAX_IDLE_LOSSES} times before it began"
        batch.fail_rest(FailureKind.ENGINE_DIED, message)

    @contextmanager
    def _entered(self, batch: Batch) -> Iterator[None]:
        with self._lock:
            self._batches.append(batch)
        try:
            yield
        finally:
            with self._lock:
                self._batches.remove(batch)

    def _guarded(self, on_event: OnEvent) -> OnEvent:
        def guarded(event: Event) -> None:
            try:
                on_event(event)
            except Exception as error:  # noqa: BLE001 - a listener cannot break a batch
                self._on_log(f"a listener failed on {event}: {type(error).__name__}: {error}")

        return guarded
