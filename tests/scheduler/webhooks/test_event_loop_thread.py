"""Event loop in a thread of its own."""

import asyncio
import threading

import pytest

from trackfarm_scheduler.webhooks.event_loop_thread import EventLoopThread


async def thread_name() -> str:
    return threading.current_thread().name


async def fail() -> None:
    raise ZeroDivisionError


def test_submit_runs_work_in_one_thread_and_returns_its_result() -> None:
    loop = EventLoopThread("probe")
    assert not loop.is_running
    assert [loop.submit(thread_name()).result(5) for _ in range(2)] == ["probe"] * 2
    with pytest.raises(ZeroDivisionError):
        loop.submit(fail()).result(5)
    loop.stop(5)
    assert not loop.is_running


def test_stop_cancels_unfinished_work() -> None:
    loop = EventLoopThread("probe")
    endless = loop.submit(asyncio.Event().wait())
    loop.stop(5)
    assert endless.cancelled()
    assert not loop.is_running


def test_stop_does_nothing_before_the_first_use() -> None:
    EventLoopThread("probe").stop(5)
