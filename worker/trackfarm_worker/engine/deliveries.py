"""Renders behind the device's back: while one track is measured, the next is decoded."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import torch

from trackfarm_worker.engine.delivery import Rendered
from trackfarm_worker.engine.intake import Job
from trackfarm_worker.engine.measures import Fault

AHEAD = 4  # tracks of raw audio that may wait, so that memory stays flat

Outcome = Future[Rendered | Fault]


class Deliveries:
    """One thread, in order. Not for more than one batch at a time."""

    def __init__(self, render: Callable[[Job, torch.Tensor], Rendered | Fault]) -> None:
        self._render = render
        self._thread = ThreadPoolExecutor(1, "delivery")
        self._going: deque[tuple[Job, Outcome]] = deque()

    def begin(self, job: Job, audio: torch.Tensor) -> None:
        self._going.append((job, self._thread.submit(self._render, job, audio)))

    def ended(self, *, all_of_them: bool) -> Iterator[tuple[Job, Outcome]]:
        """Those that have ended, and as many more as are too many, or all of them."""
        while self._going:
            outcome = self._going[0][1]
            if not (all_of_them or outcome.done() or len(self._going) > AHEAD):
                return
            wait([outcome])
            yield self._going.popleft()

    def drop(self) -> None:
        """Waits for what goes on, and forgets it: its batch was broken."""
        going = [outcome for _, outcome in self._going]
        self._going.clear()
        for outcome in going:
            outcome.cancel()
        wait(going)
