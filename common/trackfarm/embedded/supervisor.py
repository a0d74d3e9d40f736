"""Supervisor of child processes: starts them in order, restarts them, stops them in order."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from trackfarm.embedded.process import Child, ChildSpec, start, tail, trim

QUICK_SECONDS = 10.0  # a child that exits sooner has not done any work
SHOW_LOG_AFTER = 3
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
POLL_SECONDS = 0.05


class StartFailed(Exception):
    """A child did not start; the message has the end of its log and the log's path."""


class Interrupted(Exception):
    """The operator interrupted the farm while it was starting."""


@dataclass(frozen=True, slots=True)
class RestartRecord:
    """Number of quick exits of a child in a row."""

    quick_exits: int = 0

    def after(self, lived_seconds: float) -> "RestartRecord":
        return RestartRecord(self.quick_exits + 1 if lived_seconds < QUICK_SECONDS else 0)

    @property
    def delay(self) -> float:
        """Seconds before the next start: 0 after a long run, doubling with each quick exit."""
        if self.quick_exits == 0:
            return 0.0
        return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self.quick_exits - 1, 16)))

    @property
    def keeps_failing(self) -> bool:
        """True at every third quick exit in a row: time to show the log."""
        return self.quick_exits > 0 and self.quick_exits % SHOW_LOG_AFTER == 0


class Supervisor:
    """Supervisor of a list of programs.

    Single-threaded: call every method from the main thread; only `start_all` and `stop_all` wait.
    `tell` is called with a line for the operator whenever a child exits. `is_wanted` returns
    whether the farm should still run.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        logs: Path,
        tell: Callable[[str], None],
        is_wanted: Callable[[], bool],
        keep_open: tuple[int, ...] = (),
    ) -> None:
        self._specs = list(specs)
        self._logs = logs
        self._tell = tell
        self._is_wanted = is_wanted
        self._keep_open = keep_open
        self._children: dict[str, Child] = {}
        self._records: dict[str, RestartRecord] = {}
        self._due: dict[str, float] = {}

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the running children, by name."""
        return {name: child.pid for name, child in self._children.items() if child.running}

    def start_all(self, *, within: float) -> None:
        """Start stage by stage; wait until each is healthy, at most `within` seconds per stage.

        Raises:
            StartFailed: a child exited too often or did not become healthy in time.
            Interrupted: `is_wanted` became false.
        """
        for stage in stages(self._specs):
            for spec in stage:
                self._start(spec)
            self._wait_until_healthy(stage, deadline=time.monotonic() + within)

    def tick(self) -> None:
        """Detect exited children, restart the ones that are due, and trim the logs."""
        for spec in self._specs:
            child = self._children.get(spec.name)
            if child is not None and not child.running:
                self._handle_exit(child)
            elif child is None and time.monotonic() >= self._due.get(spec.name, float("inf")):
                self._start(spec)
            trim(self.log_of(spec.name))

    def stop_all(self, *, is_forced: Callable[[], bool]) -> None:
        """Stop all children, highest stage first; kill the rest as soon as `is_forced` is true."""
        self._due.clear()
        for stage in reversed(stages(self._specs)):
            children = [self._children[s.name] for s in stage if s.name in self._children]
            for child in children:
                child.terminate()
            _wait_for_exit(children, is_forced)
            for child in children:
                if child.running:
                    self._tell(f"killing {child.spec.name}: it has not stopped yet")
                    child.kill()

    def _start(self, spec: ChildSpec) -> None:
        self._due.pop(spec.name, None)
        self._children[spec.name] = start(
            spec,
            log=self.log_of(spec.name),
            now=time.monotonic(),
            keep_open=self._keep_open,
        )

    def _handle_exit(self, child: Child) -> None:
        name, now = child.spec.name, time.monotonic()
        del self._children[name]
        record = self._records.get(name, RestartRecord()).after(now - child.started)
        self._records[name] = record
        self._due[name] = now + record.delay
        when = f"in {record.delay:g} s" if record.delay else "now"
        self._tell(f"{name} {child.exit_words}; restarting it {when}")
        if record.keeps_failing:
            self._tell(self._log_tail(name))

    def _log_tail(self, name: str) -> str:
        log = self.log_of(name)
        return f"last lines of {log}:\n{tail(log) or '(the log is empty)'}"

    def _wait_until_healthy(self, stage: list[ChildSpec], *, deadline: float) -> None:
        waiting = list(stage)
        while waiting := [spec for spec in waiting if not spec.healthy()]:
            if not self._is_wanted():
                raise Interrupted
            for spec in waiting:
                self._fail_on_bad_settings(spec)
            self.tick()
            for spec in waiting:
                self._fail_on_exits_or_timeout(spec, late=time.monotonic() > deadline)
            time.sleep(POLL_SECONDS)

    def _fail_on_bad_settings(self, spec: ChildSpec) -> None:
        child = self._children.get(spec.name)
        if child is not None and child.has_bad_settings:
            self._tell(self._log_tail(spec.name))
            raise StartFailed(f"{spec.name} does not start: its settings are invalid")

    def _fail_on_exits_or_timeout(self, spec: ChildSpec, *, late: bool) -> None:
        if self._records.get(spec.name, RestartRecord()).keeps_failing:
            raise StartFailed(f"{spec.name} does not start: it exited three times in a row")
        if late:
            log_tail = self._log_tail(spec.name)
            raise StartFailed(f"{spec.name} runs but did not become healthy; {log_tail}")


def stages(specs: Sequence[ChildSpec]) -> list[list[ChildSpec]]:
    """Group the specs by stage, lowest stage first."""
    ordered = sorted(specs, key=lambda spec: spec.stage)
    return [list(group) for _, group in groupby(ordered, key=lambda spec: spec.stage)]


def _wait_for_exit(children: list[Child], is_forced: Callable[[], bool]) -> None:
    started = time.monotonic()
    while any(
        child.running and time.monotonic() - started < child.spec.stop_seconds for child in children
    ):
        if is_forced():
            return
        time.sleep(POLL_SECONDS)
