"""Many simulated workers in one process, and the verdicts on their results."""

import asyncio
from collections import Counter
from contextlib import suppress

from trackfarm_bench.load.worker import Manner, SimulatedWorker

JOIN_AT_ONCE = 8
PATIENCE = 120.0  # seconds without a verdict before a run counts as failed


class Crowd:
    """The workers; `verdicts` counts the scheduler's verdicts by kind."""

    def __init__(self, size: int, manner: Manner) -> None:
        self.verdicts: Counter[str] = Counter()
        self._workers = [SimulatedWorker(i, manner, self._hear) for i in range(size)]
        self._lives: list[asyncio.Task[None]] = []

    def _hear(self, verdict: str) -> None:
        self.verdicts[verdict] += 1

    async def join(self) -> None:
        door = asyncio.Semaphore(JOIN_AT_ONCE)

        async def enter(worker: SimulatedWorker) -> None:
            async with door:
                await worker.join()

        await asyncio.gather(*(enter(worker) for worker in self._workers))
        self._lives = [asyncio.create_task(worker.live()) for worker in self._workers]

    async def wait_for(self, tracks: int) -> None:
        """Wait until so many tracks are committed; raise if a worker fails or nothing happens."""
        verdict_count = -1
        while self.verdicts["committed"] < tracks:
            if self.verdicts.total() == verdict_count:
                raise RuntimeError(f"nothing happened for {PATIENCE} s: {dict(self.verdicts)}")
            verdict_count = self.verdicts.total()
            await self._until(tracks, PATIENCE)

    async def _until(self, tracks: int, seconds: float) -> None:
        waited = 0.0
        while waited < seconds and self.verdicts["committed"] < tracks:
            await asyncio.sleep(0.05)
            waited += 0.05
            for life in self._lives:
                if life.done():
                    life.result()

    async def leave(self) -> None:
        for life in self._lives:
            life.cancel()
        for life in self._lives:
            with suppress(asyncio.CancelledError):
                await life
