"""Rendering in parallel with the device: while one track is measured, the next is decoded."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import torch

from trackfarm_worker.engine.delivery import Rendered
from trackfarm_worker.engine.intake import Job
from trackfarm_worker.engine.measures import Fault

AHEAD = 4  # tracks of raw audio that may be pending, so that memory stays bounded

Outcome = Future[Rendered | Fault]


class Deliveries:
    """Render thread, in order. For one batch at a time."""

    def __init__(self, render: Callable[[Job, torch.Tensor], Rendered | Fault]) -> None:
        self._render = render
        self._thread = ThreadPoolExecutor(1, "delivery")
        self._pending: deque[tuple[Job, Outcome]] = deque()

    def begin(self, job: Job, audio: torch.Tensor) -> None:
        self._pending.append((job, self._thread.submit(self._render, job, audio)))

    def ended(self, *, all_of_them: bool) -> Iterator[tuple[Job, Outcome]]:
        """Yield the finished ones, waiting for the oldest while more than `AHEAD` are pending, or
        for all."""
        while self._pending:
            outcome = self._pending[0][1]
            if not (all_of_them or outcome.done() or len(self._pending) > AHEAD):
                return
            wait([outcome])
            yield self._pending.popleft()

    def drop(self) -> None:
        """Discard pending renders, waiting for the active one: their batch failed."""
        outcomes = [outcome for _, outcome in self._pending]
        self._pending.clear()
        for outcome in outcomes:
            outcome.cancel()
        wait(outcomes)
