"""Keeps a list of programs running: starts them in order, replaces the dead, ends them in order."""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from trackfarm.embedded.child import Child, ChildSpec, start
from trackfarm.embedded.logs import tail, trim
from trackfarm.embedded.restarts import Record

POLL_SECONDS = 0.05


class StartFailed(Exception):
    """A child does not come up; the message has the end of its log and where it is."""


class Interrupted(Exception):
    """The operator wants the farm to end while it is still starting."""


def stages(specs: Sequence[ChildSpec]) -> list[list[ChildSpec]]:
    """The specs grouped by stage, lowest stage first."""
    ordered = sorted(specs, key=lambda spec: spec.stage)
    return [list(group) for _, group in groupby(ordered, key=lambda spec: spec.stage)]


class Supervisor:
    """Single-threaded: every method is called from the main thread and none blocks for long.

    `tell` gets one line for the operator whenever a child died. `wanted` says whether the farm
    shall still run.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        logs: Path,
        tell: Callable[[str], None],
        wanted: Callable[[], bool],
        keep_open: tuple[int, ...] = (),
    ) -> None:
        self._specs = list(specs)
        self._logs = logs
        self._tell = tell
        self._wanted = wanted
        self._keep_open = keep_open
        self._children: dict[str, Child] = {}
        self._records: dict[str, Record] = {}
        self._due: dict[str, float] = {}

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    @property
    def pids(self) -> dict[str, int]:
        """The running children."""
        return {name: child.pid for name, child in self._children.items() if child.running}

    def bring_up(self, *, within: float) -> None:
        """Starts every stage and waits until it is healthy, at most `within` seconds a stage.

        Raises:
            StartFailed: a child died too often or did not become healthy in time.
            Interrupted: `wanted` became false.
        """
        for stage in stages(self._specs):
            for spec in stage:
                self._start(spec)
            self._await_health(stage, deadline=time.monotonic() + within)

    def tick(self) -> None:
        """Notices the dead, starts those whose time has come, keeps the logs within bounds."""
        for spec in self._specs:
            child = self._children.get(spec.name)
            if child is not None and not child.running:
                self._bury(child)
            elif child is None and time.monotonic() >= self._due.get(spec.name, float("inf")):
                self._start(spec)
            trim(self.log_of(spec.name))

    def bring_down(self, *, hurry: Callable[[], bool]) -> None:
        """Ends everything, highest stage first; `hurry` turning true kills what is left at once."""
        self._due.clear()
        for stage in reversed(stages(self._specs)):
            children = [self._children[s.name] for s in stage if s.name in self._children]
            for child in children:
                child.ask_to_end()
            _await_end(children, hurry)
            for child in children:
                if child.running:
                    self._tell(f"killing {child.spec.name}, which has not ended yet")
                    child.kill()

    def _start(self, spec: ChildSpec) -> None:
        self._due.pop(spec.name, None)
        self._children[spec.name] = start(
            spec,
            log=self.log_of(spec.name),
            now=time.monotonic(),
            keep_open=self._keep_open,
        )

    def _bury(self, child: Child) -> None:
        name, now = child.spec.name, time.monotonic()
        del self._children[name]
        record = self._records.get(name, Record()).after(now - child.started)
        self._records[name] = record
        self._due[name] = now + record.delay
        when = f"in {record.delay:g} s" if record.delay else "now"
        self._tell(f"{name} {child.ending}; starting it again {when}")
        if record.hopeless:
            self._tell(self._last_words(name))

    def _last_words(self, name: str) -> str:
        log = self.log_of(name)
        return f"the end of {log}:\n{tail(log) or '(the log is empty)'}"

    def _await_health(self, stage: list[ChildSpec], *, deadline: float) -> None:
        waiting = list(stage)
        while waiting := [spec for spec in waiting if not spec.healthy()]:
            if not self._wanted():
                raise Interrupted
            for spec in waiting:
                self._give_up_on_settings(spec)
            self.tick()
            for spec in waiting:
                self._give_up_on(spec, late=time.monotonic() > deadline)
            time.sleep(POLL_SECONDS)

    def _give_up_on_settings(self, spec: ChildSpec) -> None:
        child = self._children.get(spec.name)
        if child is not None and child.refused_its_settings:
            self._tell(self._last_words(spec.name))
            raise StartFailed(f"{spec.name} does not start: its settings are not usable")

    def _give_up_on(self, spec: ChildSpec, *, late: bool) -> None:
        if self._records.get(spec.name, Record()).hopeless:
            raise StartFailed(f"{spec.name} does not start: it died three times in a row")
        if late:
            words = self._last_words(spec.name)
            raise StartFailed(f"{spec.name} runs but does not become healthy; {words}")


def _await_end(children: list[Child], hurry: Callable[[], bool]) -> None:
    started = time.monotonic()
    while any(
        child.running and time.monotonic() - started < child.spec.stop_seconds for child in children
    ):
        if hurry():
            return
        time.sleep(POLL_SECONDS)
