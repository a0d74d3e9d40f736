"""Lag monitor: wait for a thread and for the write lock, measured while there are no requests."""

import asyncio
import threading
from contextlib import nullcontext

import pytest
from anyio import CapacityLimiter, to_thread

from trackfarm_scheduler.loops.lag_monitor import LagMonitor


async def _lag_while(taken: str) -> tuple[float, float]:
    """Return the lag while all threads, or the write lock, are taken, and after they are free
    again."""
    threads, line, release = CapacityLimiter(1), threading.Lock(), threading.Event()

    def wait_to_write() -> None:
        with line:
            pass

    def take() -> None:
        with line if taken == "turn" else nullcontext():
            release.wait()

    lag_monitor = LagMonitor(threads, wait_to_write)
    watch_task = asyncio.create_task(lag_monitor.watch())
    limiter = threads if taken == "threads" else None
    blocking_task = asyncio.create_task(to_thread.run_sync(take, limiter=limiter))
    while lag_monitor.lag < 1.0:
        await asyncio.sleep(0.05)
    release.set()
    await blocking_task
    last_lag = 0.0
    while last_lag != lag_monitor.lag:  # the lag grows until the wait ends
        last_lag = lag_monitor.lag
        await asyncio.sleep(0.05)
    watch_task.cancel()
    return 1.0, lag_monitor.lag


@pytest.mark.parametrize("taken", ["threads", "turn"])
def test_lag_is_seen_while_a_wait_lasts_and_remembered(taken: str) -> None:
    during, after = asyncio.run(_lag_while(taken))
    assert after >= during


def test_lag_is_zero_without_a_watch() -> None:
    assert LagMonitor(CapacityLimiter(1), lambda: None).lag == 0
