"""Many simulated workers in one process, and the verdicts on their results."""

import asyncio
from collections import Counter
from contextlib import suppress

from trackfarm_bench.load.worker import SimulatedWorker, WorkerBehaviour

MAX_JOINING = 8
NO_VERDICT_TIMEOUT_S = 120.0  # without a verdict, before a run counts as failed


class SimulatedWorkers:
    """The workers; `verdicts` counts the scheduler's verdicts by kind."""

    def __init__(self, size: int, behaviour: WorkerBehaviour) -> None:
        self.verdicts: Counter[str] = Counter()
        self._workers = [SimulatedWorker(i, behaviour, self._count) for i in range(size)]
        self._tasks: list[asyncio.Task[None]] = []

    def _count(self, verdict: str) -> None:
        self.verdicts[verdict] += 1

    async def join(self) -> None:
        free_slots = asyncio.Semaphore(MAX_JOINING)

        async def join(worker: SimulatedWorker) -> None:
            async with free_slots:
                await worker.join()

        await asyncio.gather(*(join(worker) for worker in self._workers))
        self._tasks = [asyncio.create_task(worker.live()) for worker in self._workers]

    async def wait_for(self, tracks: int) -> None:
        """Wait until so many tracks are committed; raise if a worker fails or nothing happens."""
        verdict_count = -1
        while self.verdicts["committed"] < tracks:
            if self.verdicts.total() == verdict_count:
                raise RuntimeError(
                    f"nothing happened for {NO_VERDICT_TIMEOUT_S} s: {dict(self.verdicts)}"
                )
            verdict_count = self.verdicts.total()
            await self._until(tracks, NO_VERDICT_TIMEOUT_S)

    async def _until(self, tracks: int, seconds: float) -> None:
        waited = 0.0
        while waited < seconds and self.verdicts["committed"] < tracks:
            await asyncio.sleep(0.05)
            waited += 0.05
            for task in self._tasks:
                if task.done():
                    task.result()

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
