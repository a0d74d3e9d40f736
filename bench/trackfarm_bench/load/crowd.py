"""Many simulated workers in one process, and what they hear back."""

import asyncio
from collections import Counter
from contextlib import suppress

from trackfarm_bench.load.worker import Manner, SimulatedWorker

JOIN_AT_ONCE = 8
PATIENCE = 120.0  # seconds without a single verdict after which a run has failed


class Crowd:
    """`verdicts` counts the answers of the scheduler by kind."""

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
        """Returns when so many tracks are committed; raises when a worker fails or all is still."""
        seen = -1
        while self.verdicts["committed"] < tracks:
            if self.verdicts.total() == seen:
                raise RuntimeError(f"nothing happened for {PATIENCE} s: {dict(self.verdicts)}")
            seen = self.verdicts.total()
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
