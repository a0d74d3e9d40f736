"""Event broadcaster: one reader for all subscribers, and a limit of streams for each key."""

import asyncio

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.events.broadcaster import EventBroadcaster, TooManyStreams
from trackfarm_scheduler.events.sse import Subscriber


def test_broadcaster_passes_new_events_to_the_right_subscribers(sqlite_farm: FarmFixture) -> None:
    old, new = (sqlite_farm.submit(briefs(1, word=w), catalog=w).job_id for w in ("a", "b"))
    sqlite_farm.change(old, jobs.cancel)

    async def run() -> None:
        broadcaster = EventBroadcaster(sqlite_farm.database, 9)
        of_job = Subscriber(job=new, owner="operator")
        of_all = Subscriber(job=None, owner=None)
        of_stranger = Subscriber(job=None, owner="stranger")
        for subscriber in (of_job, of_all, of_stranger):
            await broadcaster.subscribe(subscriber, "key_1")
        await asyncio.to_thread(sqlite_farm.change, new, jobs.cancel)
        assert b"job_cancelled" in await of_job.next(10.0)
        everything = await of_all.next(10.0)
        assert everything.count(b"job_cancelled") == 1, "only events from the subscription on"
        assert await of_stranger.next(0.01) == b""
        broadcaster.close()
        assert of_all.is_over

    asyncio.run(run())


def test_broadcaster_limits_the_streams_of_a_key(sqlite_farm: FarmFixture) -> None:
    async def run() -> None:
        broadcaster = EventBroadcaster(sqlite_farm.database, 1)
        first, second = (Subscriber(job=None, owner=None) for _ in range(2))
        await broadcaster.subscribe(first, "key_1")
        with pytest.raises(TooManyStreams):
            await broadcaster.subscribe(second, "key_1")
        await broadcaster.subscribe(second, "key_2")
        broadcaster.unsubscribe(first)
        broadcaster.unsubscribe(first)
        await broadcaster.subscribe(first, "key_1")

    asyncio.run(run())
