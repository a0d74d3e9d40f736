"""CPU seconds and memory of processes, sampled while they run."""

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import psutil

SAMPLE_SECONDS = 0.25


def cpu_seconds(pid: int) -> float:
    """Return the user and system seconds of a process and its children, ended ones included. For
    the current process only its own, because all the others are its children."""
    try:
        root = psutil.Process(pid)
        spent = root.cpu_times()
        if pid == os.getpid():
            return float(spent.user + spent.system)
        total = spent.user + spent.system + spent.children_user + spent.children_system
        children = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return 0.0
    for child in children:
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return float(total)


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process and its children in MiB; shared pages count for
    each."""
    try:
        root = psutil.Process(pid)
        family = [root] if pid == os.getpid() else [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


@dataclass(slots=True)
class ProcessUsage:
    """Samples of one part: (Unix seconds, CPU seconds)."""

    samples: list[tuple[float, float]] = field(default_factory=list)
    peak_mib: float = 0.0

    def spent(self, since: float, until: float) -> float:
        """Return the CPU seconds between two times, from the samples after each."""
        samples = list(self.samples)
        if not samples:
            return 0.0
        first, final = (bisect_left(samples, (t, 0.0)) for t in (since, until))
        last = len(samples) - 1
        return samples[min(final, last)][1] - samples[min(first, last)][1]


class Meters:
    """A context manager that samples processes, keyed by the names of their parts."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.parts = {name: ProcessUsage() for name in pids}
        self._pids = dict(pids)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meters", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._sample()
            self._stopping.wait(SAMPLE_SECONDS)

    def _sample(self) -> None:
        for name, pid in self._pids.items():
            usage = self.parts[name]
            # The CPU time of an ended process reads as 0 or less than before: keep the maximum.
            before = usage.samples[-1][1] if usage.samples else 0.0
            usage.samples.append((time.time(), max(before, cpu_seconds(pid))))
            usage.peak_mib = max(usage.peak_mib, resident_mib(pid))
