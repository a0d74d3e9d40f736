"""Heartbeats over real HTTP: reported progress and executed commands."""

from collections.abc import Iterator
from typing import cast

import pytest

from tests.servers.scripted_http import Reply, ScriptedServer, scripted_server
from tests.worker.fake_engine import FakeEngine
from tests.worker.shards import LEASE, SHARD, claim
from tests.worker.waiting import wait_until
from trackfarm.nvml import GpuUsage
from trackfarm.protocol.worker import (
    Command,
    CommandKind,
    HeartbeatAnswer,
    HeartbeatRequest,
    Intervals,
    ReleaseReason,
    Stage,
)
from trackfarm_worker.engine.parent.client import EngineProcess
from trackfarm_worker.engine.protocol import TrackStopped
from trackfarm_worker.heartbeat import HeartbeatThread
from trackfarm_worker.scheduler_client import SchedulerClient
from trackfarm_worker.shards_in_flight import ShardRegistry

INTERVALS = Intervals(heartbeat=0.01, lost_after=12)
STOP = Command(kind=CommandKind.STOP_SHARD, shard_id=SHARD, lease_id=LEASE, reason="paused")


class Chest:
    """Heartbeat thread and the parts it observes."""

    def __init__(self, scheduler: ScriptedServer) -> None:
        self.scheduler = scheduler
        self.board = ShardRegistry()
        self.engine = FakeEngine(lambda track, _: TrackStopped(track_id=track.track_id))
        self.drains: list[str] = []
        self.unwelcome: list[str] = []
        self.reading: GpuUsage | None = None
        self.client = SchedulerClient(scheduler.url, token="secret")
        self.heart = HeartbeatThread(
            client=self.client,
            board=self.board,
            engine=cast(EngineProcess, self.engine),
            intervals=INTERVALS,
            on_drain=self.drains.append,
            on_unwelcome=self.unwelcome.append,
            sense=lambda: self.reading,
        )
        self.answer()

    def answer(self, *commands: Command, live: tuple[str, ...] = ()) -> None:
        answer = HeartbeatAnswer(
            leases=dict.fromkeys(live, 12.0), commands=list(commands), intervals=INTERVALS
        )
        self.scheduler.reply_with(Reply(body=answer.model_dump_json().encode()))

    def told(self) -> HeartbeatRequest:
        return HeartbeatRequest.model_validate_json(self.scheduler.requests[-1].body)


@pytest.fixture
def chest() -> Iterator[Chest]:
    with scripted_server() as scheduler:
        made = Chest(scheduler)
        yield made
        made.client.close()


def test_it_tells_what_is_being_done(chest: Chest) -> None:
    chest.engine.restarts = 2
    chest.heart.beat()
    assert chest.told() == HeartbeatRequest(engine_restarts=2)
    with chest.board.entered(claim(1, 2)) as shard:
        shard.stage, shard.step, shard.steps = Stage.COMPUTING, 3, 8
        chest.board.drain()
        chest.heart.beat()
    told = chest.told()
    assert told.draining
    assert [(s.lease_id, s.stage, s.step) for s in told.shards] == [(LEASE, "computing", 3)]


def test_it_tells_what_the_card_does(chest: Chest) -> None:
    chest.reading = GpuUsage(2048, 0.5)
    chest.heart.beat()
    assert chest.told() == HeartbeatRequest(gpu_memory_mib=2048, gpu_utilisation=0.5)


@pytest.mark.parametrize("is_live", [True, False])
def test_a_shard_is_stopped_when_told(chest: Chest, is_live: bool) -> None:
    """Lease alive (paused): deliver finished tracks. Lease lost: deliver nothing."""
    chest.answer(STOP, live=(LEASE,) if is_live else ())
    with chest.board.entered(claim(1, 2)) as shard:
        chest.heart.beat()
        assert shard.stop_reason is ReleaseReason.STOPPED
        assert shard.is_dead is not is_live
    assert chest.engine.stopped == [frozenset({1, 2})]


def test_a_shard_that_is_gone_already_stops_nothing(chest: Chest) -> None:
    chest.answer(STOP)
    chest.heart.beat()
    assert chest.engine.stopped == []


def test_it_drains_when_told(chest: Chest) -> None:
    chest.answer(Command(kind=CommandKind.DRAIN, reason="the rental ends"))
    chest.heart.beat()
    assert chest.drains == ["the rental ends"]


def test_it_goes_on_beating_whatever_the_scheduler_says(chest: Chest) -> None:
    chest.scheduler.reply_with(Reply(503), Reply(0), Reply(422), Reply(200, b"?"), Reply(503))
    chest.heart.start()
    wait_until(lambda: len(chest.scheduler.requests) >= 6, 20)
    chest.answer(Command(kind=CommandKind.DRAIN, reason="at last"))
    wait_until(lambda: "at last" in chest.drains, 20)
    chest.heart.stop(timeout=10)
    assert chest.unwelcome == []


def test_it_ends_when_its_token_is_void(chest: Chest) -> None:
    chest.scheduler.reply_with(Reply(401, b'{"detail":"register again"}'))
    chest.heart.start()
    wait_until(lambda: chest.unwelcome == ["register again"], 20)
    chest.heart.stop(timeout=10)
    assert len(chest.scheduler.requests) == 1
