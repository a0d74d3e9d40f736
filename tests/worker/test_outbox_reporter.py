"""Delivery of the outbox over real HTTP: nothing is dropped while the scheduler is unreachable."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.scripted_http import ReceivedRequest, Reply, ScriptedServer, scripted_server
from tests.worker.shards import LEASE, SHARD, done, failed, verdicts
from tests.worker.waiting import wait_until
from trackfarm.protocol.worker import ReportRequest, ReportVerdict
from trackfarm_worker import outbox as reporter_module
from trackfarm_worker.outbox import Outbox, Reporter
from trackfarm_worker.scheduler_client import NotWelcome, SchedulerAway, SchedulerClient


class Desk:
    """Reporter with its outbox and its scheduler."""

    def __init__(self, folder: Path, scheduler: ScriptedServer) -> None:
        self.scheduler = scheduler
        self.unwelcome: list[str] = []
        self.outbox = Outbox(folder / "outbox.db", parcel_size=2)
        self.client = SchedulerClient(scheduler.url, token="secret")
        self.reporter = Reporter(
            outbox=self.outbox, client=self.client, on_unwelcome=self.unwelcome.append
        )

    def close(self) -> None:
        self.client.close()
        self.outbox.close()

    def reported(self) -> list[list[int]]:
        reports = [ReportRequest.model_validate_json(a.body) for a in self.scheduler.requests]
        return [[t.track_id for t in r.done] + [t.track_id for t in r.failed] for r in reports]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with scripted_server() as scheduler:
        scheduler.reply_with(Reply(body=verdicts()))
        made = Desk(tmp_path, scheduler)
        yield made
        made.close()


def test_everything_is_delivered_in_parcels(desk: Desk) -> None:
    for track in range(3):
        desk.outbox.put(SHARD, LEASE, done(track))
    desk.outbox.put(SHARD, LEASE, failed(3))
    while desk.reporter.deliver():
        pass
    assert desk.reported() == [[0, 1], [2, 3]]
    assert not desk.reporter.deliver()
    assert desk.outbox.wait_until_delivered(LEASE, timeout=0)
    assert desk.scheduler.paths() == [f"/worker/v1/shards/{SHARD}/report"] * 2


@pytest.mark.parametrize("answer", [Reply(503), Reply(0), Reply(200, b"<html>")])
def test_what_was_not_answered_stays(desk: Desk, answer: Reply) -> None:
    desk.outbox.put(SHARD, LEASE, done(1))
    desk.scheduler.reply_with(answer)
    with pytest.raises(SchedulerAway):
        desk.reporter.deliver()
    assert not desk.outbox.wait_until_delivered(LEASE, timeout=0)
    desk.scheduler.reply_with(Reply(body=verdicts(1)))
    assert desk.reporter.deliver()
    assert desk.outbox.wait_until_delivered(LEASE, timeout=0)


@pytest.mark.parametrize("verdict", list(ReportVerdict))
def test_any_verdict_is_an_answer(desk: Desk, verdict: ReportVerdict) -> None:
    desk.outbox.put(SHARD, LEASE, done(1))
    desk.scheduler.reply_with(Reply(body=verdicts(1, verdict=verdict)))
    assert desk.reporter.deliver()
    assert desk.outbox.next_parcel() is None


def test_a_report_that_is_refused_as_such_does_not_block_the_next(desk: Desk) -> None:
    desk.outbox.put(SHARD, LEASE, done(1))
    desk.outbox.put("shard_0002", "lease_0002", done(2))
    desk.scheduler.reply_with(Reply(422), Reply(body=verdicts(2)))
    while desk.reporter.deliver():
        pass
    assert desk.reported() == [[1], [2]]


def test_it_keeps_trying_while_the_scheduler_is_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five refusals and a hang-up every result has arrived, in order."""
    monkeypatch.setattr(reporter_module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(reporter_module, "LONGEST_PAUSE", 0.01)
    left = [Reply(503)] * 5 + [Reply(0)]

    def reply(_: ReceivedRequest) -> Reply:
        return left.pop() if left else Reply(body=verdicts())

    desk.scheduler.reply = reply
    for track in range(5):
        desk.outbox.put(SHARD, LEASE, done(track))
    desk.reporter.start()
    assert desk.outbox.wait_until_delivered(LEASE, timeout=20)
    desk.outbox.put(SHARD, LEASE, done(9))
    assert desk.outbox.wait_until_delivered(LEASE, timeout=20)
    desk.reporter.stop(timeout=10)
    assert desk.reported()[-4:] == [[0, 1], [2, 3], [4], [9]]
    assert desk.unwelcome == []


def test_a_void_token_ends_it(desk: Desk) -> None:
    """Nothing can be delivered, so waiting results are dropped."""
    desk.scheduler.reply_with(Reply(401, b'{"detail":"register again"}'))
    desk.outbox.put(SHARD, LEASE, done(1))
    with pytest.raises(NotWelcome):
        desk.reporter.deliver()
    desk.reporter.start()
    wait_until(lambda: desk.unwelcome == ["register again"], 20)
    assert desk.outbox.wait_until_delivered(LEASE, timeout=0)
    desk.reporter.stop(timeout=10)
