"""How long a request waits for a thread, measured while there is none."""

import asyncio
import threading

from anyio import CapacityLimiter, to_thread

from trackfarm_scheduler.promptness import Promptness


async def _lag_without_threads() -> tuple[float, float]:
    """The lag that is seen while all threads are taken, and when they are free again."""
    threads = CapacityLimiter(1)
    promptness, enough = Promptness(threads), threading.Event()
    watching = asyncio.create_task(promptness.watch())
    taken = asyncio.create_task(to_thread.run_sync(enough.wait, limiter=threads))
    while promptness.lag < 1.0:
        await asyncio.sleep(0.05)
    enough.set()
    await taken
    seen = 0.0
    while seen != promptness.lag:  # it grows for as long as the wait lasts
        seen = promptness.lag
        await asyncio.sleep(0.05)
    watching.cancel()
    return 1.0, promptness.lag


def test_a_wait_is_seen_while_it_lasts_and_remembered() -> None:
    during, after = asyncio.run(_lag_without_threads())
    assert after >= during


def test_nobody_waits_where_nobody_watches() -> None:
    assert Promptness(CapacityLimiter(1)).lag == 0
