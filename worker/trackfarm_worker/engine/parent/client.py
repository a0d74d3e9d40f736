"""Client of the engine process for the worker's task threads: tracks in, one result per track
out."""

import itertools
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.parent.child_process import EngineChild, NoReport, OnLog
from trackfarm_worker.engine.parent.fair_lock import FairLock, Ticket
from trackfarm_worker.engine.parent.run_state import OnEvent, RunState
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.parent.supervisor import EngineStartFailed, EngineSupervisor
from trackfarm_worker.engine.protocol import (
    Computed,
    EngineEvent,
    EngineTrack,
    LoadFailed,
    Ready,
    Retired,
    Run,
    RunDone,
    StopTracks,
    TrackResult,
)

# After so many engines lost before they began a track, the run fails.
MAX_IDLE_LOSSES = 3


class EngineClient:
    """Owner of the engine process, the only one that imports torch. Thread-safe: runs are served
    in order.

    The process is supervised and replaced as soon as it exits; `restarts` counts that. `on_log`
    gets each line that it writes to stderr.
    """

    def __init__(self, settings: EngineSettings, *, on_log: OnLog = lambda _: None) -> None:
        self._settings = settings
        self._supervisor = EngineSupervisor(settings, on_log)
        self._on_log = on_log
        self._fair_lock = FairLock()
        self._lock = threading.Lock()
        self._runs: list[RunState] = []
        self._computing: tuple[RunState, EngineChild, int] | None = None
        self._run_ids = itertools.count(1)
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
            return len(self._runs)

    @property
    def restarts(self) -> int:
        return self._supervisor.restarts

    @property
    def failure(self) -> EngineStartFailed | None:
        """Return the error if the engine cannot be restarted: three starts in a row failed."""
        return self._supervisor.failure

    def run(
        self, tracks: Sequence[EngineTrack], on_event: OnEvent = lambda _: None
    ) -> list[TrackResult]:
        """Make the tracks when it is their turn; return one result each, in the order given.

        `on_event` is called with every progress and every result at once, in this thread; its
        exceptions are logged and otherwise ignored. When the engine dies or hangs, the tracks of
        the batch in progress are retried in halves on its successor, until the culprit is alone and
        a FailedTrack. After `close`, tracks are a StoppedTrack. Raises EngineStartFailed when the
        engine cannot be restarted.
        """
        run, arrived_at = RunState(tracks, self._guarded(on_event)), time.monotonic()
        with self._registered(run), self._fair_lock.ticket(run.is_all_to_stop) as ticket:
            losses, has_begun = 0, False
            while run.remaining() and losses < MAX_IDLE_LOSSES and ticket.wait():
                has_waited = has_begun or arrived_at < self._free_since
                losses = 0 if self._attempt(run, ticket, has_waited) else losses + 1
                has_begun = True
            self._answer_remaining(run)
        return run.results()

    def stop_current(self, track_ids: Collection[int] | None = None) -> None:
        """Stop tracks (None: all) between two steps, active or queued. Does not wait."""
        with self._lock:
            for run in self._runs:
                stop_ids = run.stop(track_ids)
                if self._computing and self._computing[0] is run and stop_ids:
                    _, child, run_id = self._computing
                    child.send(StopTracks(run_id=run_id, track_ids=stop_ids))
        self._fair_lock.recheck()
        self._supervisor.recheck()

    def close(self) -> None:
        """End the engine; unfinished tracks are answered as stopped. Idempotent."""
        self._supervisor.close()
        self.stop_current()

    def _attempt(self, run: RunState, ticket: Ticket, has_waited: bool) -> bool:
        """Run the next group of tracks on the current engine. False: it was lost before it began
        any."""
        child = self._supervisor.current(run.is_all_to_stop)
        if child is None:
            run.stop(None)
            run.answer_stopped()
            return True
        run_id = next(self._run_ids)
        with child.subscribed(run_id):
            try:
                is_last = self._send(run, child, run_id, has_waited)
                return self._follow(run, child, run_id, ticket if is_last else None)
            finally:
                self._clear_active(run_id)

    def _send(self, run: RunState, child: EngineChild, run_id: int, has_waited: bool) -> bool:
        """Send the next group; return whether it holds all remaining tracks of the run."""
        run.answer_stopped()
        with self._lock:
            self._computing = run, child, run_id
            group = run.next_group()
            child.send(Run(run_id=run_id, tracks=group, has_waited=has_waited))
            child.send(StopTracks(run_id=run_id, track_ids=run.to_stop()))
        return len(group) == len(run.remaining())

    def _follow(
        self, run: RunState, child: EngineChild, run_id: int, ticket: Ticket | None
    ) -> bool:
        """Process reports until the run ends. The `ticket` is released when the device has
        finished the run: the next one computes while the last tracks of this one are written."""
        while True:
            match child.receive(self._settings.hang_seconds, run_id):
                case Computed():
                    run.clear_in_progress()
                    self._clear_active(run_id)
                    if ticket:
                        ticket.release()
                case RunDone():
                    return True
                case Retired():
                    run.clear_in_progress()
                    child.exited.wait()
                    return True
                case NoReport.TIMED_OUT:
                    child.kill()
                    child.exited.wait()
                    seconds = self._settings.hang_seconds
                    message = f"the engine did not respond for {seconds:g} s and was killed"
                    return run.bisect_after_crash(FailureKind.ENGINE_HUNG, message)
                case NoReport.EXITED if self._supervisor.is_closed:
                    return True
                case NoReport.EXITED:
                    return run.bisect_after_crash(FailureKind.ENGINE_DIED, child.describe_exit())
                case Ready() | LoadFailed():
                    raise AssertionError("an engine is set up once")
                case event:
                    run.record(event)

    def _clear_active(self, run_id: int) -> None:
        with self._lock:
            if self._computing and self._computing[2] == run_id:
                self._computing, self._free_since = None, time.monotonic()

    def _answer_remaining(self, run: RunState) -> None:
        """Answer the tracks that no engine has made: as stopped, or failed after too many
        losses."""
        run.answer_stopped()
        message = f"the engine was lost {MAX_IDLE_LOSSES} times before it began a track"
        run.fail_remaining(FailureKind.ENGINE_DIED, message)

    @contextmanager
    def _registered(self, run: RunState) -> Iterator[None]:
        with self._lock:
            self._runs.append(run)
        try:
            yield
        finally:
            with self._lock:
                self._runs.remove(run)

    def _guarded(self, on_event: OnEvent) -> OnEvent:
        def guarded(event: EngineEvent) -> None:
            try:
                on_event(event)
            except Exception as error:  # noqa: BLE001 - a listener must not break a run
                self._on_log(f"a listener failed on {event}: {type(error).__name__}: {error}")

        return guarded
