"""Client of the engine process for the worker's task threads: tracks in, one result per track
out."""

import itertools
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.parent.child_process import Ending, EngineChild, OnLog
from trackfarm_worker.engine.parent.fair_lock import FairLock, Ticket
from trackfarm_worker.engine.parent.run_state import OnEvent, RunState
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.parent.supervisor import EngineStartFailed, EngineSupervisor
from trackfarm_worker.engine.protocol import (
    BatchDone,
    Computed,
    EngineTrack,
    Event,
    LoadFailed,
    Ready,
    Result,
    Retired,
    Run,
    StopTracks,
)

# After so many engines lost before they began a track, the run fails.
MAX_IDLE_LOSSES = 3


class EngineProcess:
    """Owner of the only process that imports torch. Thread-safe: runs are served in order.

    The process is supervised and replaced as soon as it exits; `restarts` counts that. `on_log`
    gets each line that it writes to stderr.
    """

    def __init__(self, settings: EngineSettings, *, on_log: OnLog = lambda _: None) -> None:
        self._settings = settings
        self._supervisor = EngineSupervisor(settings, on_log)
        self._on_log = on_log
        self._turns = FairLock()
        self._lock = threading.Lock()
        self._batches: list[RunState] = []
        self._computing: tuple[RunState, EngineChild, int] | None = None
        self._numbers = itertools.count(1)
        self._free_since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Ready:
        """Wait until the model is loaded. Raises EngineStartFailed, after cleaning up."""
        return self._supervisor.start()

    @property
    def pid(self) -> int | None:
        """Return the pid of the loaded process; None while it is being replaced."""
        return self._supervisor.pid

    @property
    def depth(self) -> int:
        """Return the number of runs that are active or queued."""
        with self._lock:
            return len(self._batches)

    @property
    def restarts(self) -> int:
        return self._supervisor.restarts

    @property
    def failure(self) -> EngineStartFailed | None:
        """Return the error if the engine cannot be restarted: three starts in a row failed."""
        return self._supervisor.failure

    def run(
        self, tracks: Sequence[EngineTrack], on_event: OnEvent = lambda _: None
    ) -> list[Result]:
        """Make the tracks when it is their turn; return one result each, in the order given.

        `on_event` is called with every progress and every result at once, in this thread; its
        exceptions are logged and otherwise ignored. When the engine dies or hangs, the tracks of
        the batch in progress are retried in halves on its successor, until the culprit is alone and
        Failed. After `close`, tracks are Stopped. Raises EngineStartFailed when the engine cannot
        be restarted.
        """
        batch, arrived_at = RunState(tracks, self._guarded(on_event)), time.monotonic()
        with self._registered(batch), self._turns.ticket(batch.is_all_to_stop) as ticket:
            losses, has_begun = 0, False
            while batch.remaining() and losses < MAX_IDLE_LOSSES and ticket.wait():
                has_waited = has_begun or arrived_at < self._free_since
                losses = 0 if self._attempt(batch, ticket, has_waited) else losses + 1
                has_begun = True
            self._answer_remaining(batch)
        return batch.results()

    def stop_current(self, track_ids: Collection[int] | None = None) -> None:
        """Stop tracks (None: all) between two steps, active or queued. Does not wait."""
        with self._lock:
            for batch in self._batches:
                stop_ids = batch.stop(track_ids)
                if self._computing and self._computing[0] is batch and stop_ids:
                    _, child, number = self._computing
                    child.send(StopTracks(batch_id=number, track_ids=stop_ids))
        self._turns.poke()
        self._supervisor.poke()

    def close(self) -> None:
        """End the engine; unfinished tracks are answered as Stopped. Idempotent."""
        self._supervisor.close()
        self.stop_current()

    def _attempt(self, batch: RunState, ticket: Ticket, has_waited: bool) -> bool:
        """Run the next group of tracks on the current engine. False: it was lost before it began
        any."""
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
                self._clear_active(number)

    def _send(self, batch: RunState, child: EngineChild, number: int, has_waited: bool) -> bool:
        """Send the next group; return whether it holds all remaining tracks of the batch."""
        batch.answer_stopped()
        with self._lock:
            self._computing = batch, child, number
            group = batch.next_group()
            child.send(Run(batch_id=number, tracks=group, has_waited=has_waited))
            child.send(StopTracks(batch_id=number, track_ids=batch.to_stop()))
        return len(group) == len(batch.remaining())

    def _follow(
        self, batch: RunState, child: EngineChild, number: int, ticket: Ticket | None
    ) -> bool:
        """Process reports until the run ends. The `ticket` is passed on when the device has
        finished the batch: the next one computes while the last tracks of this one are written."""
        while True:
            match child.receive(self._settings.hang_seconds, number):
                case Computed():
                    batch.acquit()
                    self._clear_active(number)
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
                    message = f"the engine did not respond for {seconds:g} s and was killed"
                    return batch.blame(FailureKind.ENGINE_HUNG, message)
                case Ending.GONE if self._supervisor.is_closed:
                    return True
                case Ending.GONE:
                    return batch.blame(FailureKind.ENGINE_DIED, child.ending())
                case Ready() | LoadFailed():
                    raise AssertionError("an engine is set up once")
                case event:
                    batch.note(event)

    def _clear_active(self, number: int) -> None:
        with self._lock:
            if self._computing and self._computing[2] == number:
                self._computing, self._free_since = None, time.monotonic()

    def _answer_remaining(self, batch: RunState) -> None:
        """Answer the tracks that no engine has made: as stopped, or failed after too many
        losses."""
        batch.answer_stopped()
        message = f"the engine was lost {MAX_IDLE_LOSSES} times before it began a track"
        batch.fail_rest(FailureKind.ENGINE_DIED, message)

    @contextmanager
    def _registered(self, batch: RunState) -> Iterator[None]:
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
            except Exception as error:  # noqa: BLE001 - a listener must not break a batch
                self._on_log(f"a listener failed on {event}: {type(error).__name__}: {error}")

        return guarded
