"""How long a request waits for a thread and for its turn to write, measured while there is none."""

import asyncio
import threading
from contextlib import nullcontext

import pytest
from anyio import CapacityLimiter, to_thread

from trackfarm_scheduler.promptness import Promptness


async def _lag_while(taken: str) -> tuple[float, float]:
    """The lag that is seen while all threads, or the turn to write, are taken, and when they are
    free again."""
    threads, line, enough = CapacityLimiter(1), threading.Lock(), threading.Event()

    def stand_in_line() -> None:
        with line:
            pass

    def take() -> None:
        with line if taken == "turn" else nullcontext():
            enough.wait()

    promptness = Promptness(threads, stand_in_line)
    watching = asyncio.create_task(promptness.watch())
    limiter = threads if taken == "threads" else None
    taking = asyncio.create_task(to_thread.run_sync(take, limiter=limiter))
    while promptness.lag < 1.0:
        await asyncio.sleep(0.05)
    enough.set()
    await taking
    seen = 0.0
    while seen != promptness.lag:  # it grows for as long as the wait lasts
        seen = promptness.lag
        await asyncio.sleep(0.05)
    watching.cancel()
    return 1.0, promptness.lag


@pytest.mark.parametrize("taken", ["threads", "turn"])
def test_a_wait_is_seen_while_it_lasts_and_remembered(taken: str) -> None:
    during, after = asyncio.run(_lag_while(taken))
    assert after >= during


def test_nobody_waits_where_nobody_watches() -> None:
    assert Promptness(CapacityLimiter(1), lambda: None).lag == 0
