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
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.protocol import StoppedTrack
from trackfarm_worker.heartbeat import HeartbeatThread
from trackfarm_worker.scheduler_client import SchedulerClient
from trackfarm_worker.shards_in_flight import ShardRegistry

INTERVALS = Intervals(heartbeat=0.01, lost_after=12)
STOP = Command(kind=CommandKind.STOP_SHARD, shard_id=SHARD, lease_id=LEASE, reason="paused")


class HeartbeatFixture:
    """Heartbeat thread and the parts it observes."""

    def __init__(self, scheduler: ScriptedServer) -> None:
        self.scheduler = scheduler
        self.registry = ShardRegistry()
        self.engine = FakeEngine(lambda track, _: StoppedTrack(track_id=track.track_id))
        self.drain_reasons: list[str] = []
        self.unauthorized: list[str] = []
        self.usage: GpuUsage | None = None
        self.client = SchedulerClient(scheduler.url, token="secret")
        self.thread = HeartbeatThread(
            client=self.client,
            registry=self.registry,
            engine=cast(EngineClient, self.engine),
            intervals=INTERVALS,
            on_drain=self.drain_reasons.append,
            on_unauthorized=self.unauthorized.append,
            read_gpu=lambda: self.usage,
        )
        self.set_answer()

    def set_answer(self, *commands: Command, live: tuple[str, ...] = ()) -> None:
        answer = HeartbeatAnswer(
            leases=dict.fromkeys(live, 12.0), commands=list(commands), intervals=INTERVALS
        )
        self.scheduler.reply_with(Reply(body=answer.model_dump_json().encode()))

    def last_request(self) -> HeartbeatRequest:
        return HeartbeatRequest.model_validate_json(self.scheduler.requests[-1].body)


@pytest.fixture
def heartbeat() -> Iterator[HeartbeatFixture]:
    with scripted_server() as scheduler:
        fixture = HeartbeatFixture(scheduler)
        yield fixture
        fixture.client.close()


def test_beat_reports_shards_and_restarts(heartbeat: HeartbeatFixture) -> None:
    heartbeat.engine.restarts = 2
    heartbeat.thread.beat()
    assert heartbeat.last_request() == HeartbeatRequest(engine_restarts=2)
    with heartbeat.registry.track(claim(1, 2)) as shard:
        shard.stage, shard.step, shard.steps = Stage.COMPUTING, 3, 8
        heartbeat.registry.drain()
        heartbeat.thread.beat()
    request = heartbeat.last_request()
    assert request.draining
    assert [(s.lease_id, s.stage, s.step) for s in request.shards] == [(LEASE, "computing", 3)]


def test_beat_reports_the_usage_of_the_gpu(heartbeat: HeartbeatFixture) -> None:
    heartbeat.usage = GpuUsage(2048, 0.5)
    heartbeat.thread.beat()
    assert heartbeat.last_request() == HeartbeatRequest(gpu_memory_mib=2048, gpu_utilisation=0.5)


@pytest.mark.parametrize("is_live", [True, False])
def test_beat_stops_a_shard_on_command(heartbeat: HeartbeatFixture, is_live: bool) -> None:
    """Lease alive (paused): deliver finished tracks. Lease lost: deliver nothing."""
    heartbeat.set_answer(STOP, live=(LEASE,) if is_live else ())
    with heartbeat.registry.track(claim(1, 2)) as shard:
        heartbeat.thread.beat()
        assert shard.stop_reason is ReleaseReason.STOPPED
        assert shard.lease_lost is not is_live
    assert heartbeat.engine.stopped == [frozenset({1, 2})]


def test_beat_ignores_commands_for_unknown_shards(heartbeat: HeartbeatFixture) -> None:
    heartbeat.set_answer(STOP)
    heartbeat.thread.beat()
    assert heartbeat.engine.stopped == []


def test_beat_drains_on_command(heartbeat: HeartbeatFixture) -> None:
    heartbeat.set_answer(Command(kind=CommandKind.DRAIN, reason="the rental ends"))
    heartbeat.thread.beat()
    assert heartbeat.drain_reasons == ["the rental ends"]


def test_thread_continues_after_errors_of_the_scheduler(heartbeat: HeartbeatFixture) -> None:
    heartbeat.scheduler.reply_with(
        Reply(503),
        Reply(0),
        Reply(422),
        Reply(200, b"?"),
        Reply(503),
    )
    heartbeat.thread.start()
    wait_until(lambda: len(heartbeat.scheduler.requests) >= 6, 20)
    heartbeat.set_answer(Command(kind=CommandKind.DRAIN, reason="at last"))
    wait_until(lambda: "at last" in heartbeat.drain_reasons, 20)
    heartbeat.thread.stop(timeout=10)
    assert heartbeat.unauthorized == []


def test_thread_ends_when_its_token_is_refused(heartbeat: HeartbeatFixture) -> None:
    heartbeat.scheduler.reply_with(Reply(401, b'{"detail":"register again"}'))
    heartbeat.thread.start()
    wait_until(lambda: heartbeat.unauthorized == ["register again"], 20)
    heartbeat.thread.stop(timeout=10)
    assert len(heartbeat.scheduler.requests) == 1
