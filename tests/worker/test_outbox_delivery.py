"""Delivery of the outbox over real HTTP: nothing is dropped while the scheduler is unreachable."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.scripted_http import (
    ReceivedRequest,
    Reply,
    ScriptedServer,
    scripted_server,
)
from tests.worker.shards import LEASE, SHARD, done, failed, verdicts
from tests.worker.waiting import wait_until
from trackfarm.protocol.worker import ReportRequest, ReportVerdict
from trackfarm_worker import outbox as outbox_module
from trackfarm_worker.outbox import Outbox, Reporter
from trackfarm_worker.scheduler_client import SchedulerClient, SchedulerUnavailable, Unauthorized


class ReporterFixture:
    """Reporter with its outbox and its scheduler."""

    def __init__(self, folder: Path, scheduler: ScriptedServer) -> None:
        self.scheduler = scheduler
        self.unauthorized: list[str] = []
        self.outbox = Outbox(folder / "outbox.db", max_results=2)
        self.client = SchedulerClient(scheduler.url, token="secret")
        self.reporter = Reporter(
            outbox=self.outbox, client=self.client, on_unauthorized=self.unauthorized.append
        )

    def close(self) -> None:
        self.client.close()
        self.outbox.close()

    def reported(self) -> list[list[int]]:
        reports = [ReportRequest.model_validate_json(a.body) for a in self.scheduler.requests]
        return [[t.track_id for t in r.done] + [t.track_id for t in r.failed] for r in reports]


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[ReporterFixture]:
    with scripted_server() as scheduler:
        scheduler.reply_with(Reply(body=verdicts()))
        fixture = ReporterFixture(tmp_path, scheduler)
        yield fixture
        fixture.close()


def test_deliver_sends_everything_in_bounded_reports(delivery: ReporterFixture) -> None:
    for track in range(3):
        delivery.outbox.put(SHARD, LEASE, done(track))
    delivery.outbox.put(SHARD, LEASE, failed(3))
    while delivery.reporter.deliver():
        pass
    assert delivery.reported() == [[0, 1], [2, 3]]
    assert not delivery.reporter.deliver()
    assert delivery.outbox.wait_until_delivered(LEASE, timeout=0)
    assert delivery.scheduler.paths() == [f"/worker/v1/shards/{SHARD}/report"] * 2


@pytest.mark.parametrize("answer", [Reply(503), Reply(0), Reply(200, b"<html>")])
def test_deliver_keeps_results_without_an_answer(delivery: ReporterFixture, answer: Reply) -> None:
    delivery.outbox.put(SHARD, LEASE, done(1))
    delivery.scheduler.reply_with(answer)
    with pytest.raises(SchedulerUnavailable):
        delivery.reporter.deliver()
    assert not delivery.outbox.wait_until_delivered(LEASE, timeout=0)
    delivery.scheduler.reply_with(Reply(body=verdicts(1)))
    assert delivery.reporter.deliver()
    assert delivery.outbox.wait_until_delivered(LEASE, timeout=0)


@pytest.mark.parametrize("verdict", list(ReportVerdict))
def test_deliver_removes_results_with_any_verdict(
    delivery: ReporterFixture, verdict: ReportVerdict
) -> None:
    delivery.outbox.put(SHARD, LEASE, done(1))
    delivery.scheduler.reply_with(Reply(body=verdicts(1, verdict=verdict)))
    assert delivery.reporter.deliver()
    assert delivery.outbox.next_results() is None


def test_deliver_continues_after_a_rejected_report(delivery: ReporterFixture) -> None:
    delivery.outbox.put(SHARD, LEASE, done(1))
    delivery.outbox.put("shard_0002", "lease_0002", done(2))
    delivery.scheduler.reply_with(Reply(422), Reply(body=verdicts(2)))
    while delivery.reporter.deliver():
        pass
    assert delivery.reported() == [[1], [2]]


def test_reporter_retries_while_the_scheduler_is_unreachable(
    delivery: ReporterFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five refusals and a hang-up every result has arrived, in order."""
    monkeypatch.setattr(outbox_module, "MIN_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(outbox_module, "MAX_PAUSE_SECONDS", 0.01)
    failures = [Reply(503)] * 5 + [Reply(0)]

    def reply(_: ReceivedRequest) -> Reply:
        return failures.pop() if failures else Reply(body=verdicts())

    delivery.scheduler.reply = reply
    for track in range(5):
        delivery.outbox.put(SHARD, LEASE, done(track))
    delivery.reporter.start()
    assert delivery.outbox.wait_until_delivered(LEASE, timeout=20)
    delivery.outbox.put(SHARD, LEASE, done(9))
    assert delivery.outbox.wait_until_delivered(LEASE, timeout=20)
    delivery.reporter.stop(timeout=10)
    assert delivery.reported()[-4:] == [[0, 1], [2, 3], [4], [9]]
    assert delivery.unauthorized == []


def test_reporter_ends_when_its_token_is_refused(delivery: ReporterFixture) -> None:
    """Nothing can be delivered, so waiting results are dropped."""
    delivery.scheduler.reply_with(Reply(401, b'{"detail":"register again"}'))
    delivery.outbox.put(SHARD, LEASE, done(1))
    with pytest.raises(Unauthorized):
        delivery.reporter.deliver()
    delivery.reporter.start()
    wait_until(lambda: delivery.unauthorized == ["register again"], 20)
    assert delivery.outbox.wait_until_delivered(LEASE, timeout=0)
    delivery.reporter.stop(timeout=10)
