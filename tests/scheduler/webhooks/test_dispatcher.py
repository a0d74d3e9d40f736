"""Delivery from the transaction to the receiver: no message is lost, sent twice, or delayed by
another receiver."""

from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from tests.scheduler.webhooks.dispatcher_fixture import GIVE_UP_SECONDS, WebhookFixture
from tests.scheduler.webhooks.receiver import Receiver, receiving
from tests.servers.process import wait_until
from trackfarm.net.ssrf import EgressPolicy
from trackfarm.protocol.webhooks import ID, BadSignature, DeliveryState, HookEvent, verify
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import jobs, webhook_outbox
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.db.tables_webhooks import DeliveryRow, WebhookRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.webhooks.dispatcher import BATCH


def test_dispatcher_reports_ends_of_tracks_and_jobs_with_signatures(
    farm: FarmFixture, receiver: Receiver
) -> None:
    """Run on both databases."""
    webhooks = WebhookFixture(farm)
    secret = webhooks.create_webhook(receiver.url)
    job_id = webhooks.finish_job(2)
    failed = farm.submit(briefs(1, word="bad"), catalog="bad").job_id
    worker = farm.join("other")
    offer = farm.lease(worker, failed)
    (bad,) = farm.track_ids(failed)
    farm.report(worker, offer, failed=[failure(bad, FailureKind.BAD_INPUT)])
    webhooks.tick()
    webhooks.tick()
    webhooks.dispatcher.close()
    assert receiver.types() == {"track.done": 2, "job.ended": 1, "track.failed": 1}
    data_by_event = {
        (r.json["type"], r.json["data"].get("ordinal", 0)): r.json["data"]
        for r in receiver.received
    }
    done = data_by_event["track.done", 2]
    track_id = farm.track_ids(job_id)[1]
    artifact = next(a for a in farm.artifacts() if a.track_id == track_id)
    assert done == {
        "job_id": job_id,
        "track_id": track_id,
        "ordinal": 2,
        "name": "",
        "tags": {},
        "state": "done",
        "object": artifact.object_key,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "seconds": artifact.seconds,
        "seed": artifact.seed,
        "url": f"memory://get/{artifact.object_key}",
    }
    assert data_by_event["track.failed", 1]["kind"] == "bad_input"
    assert data_by_event["job.ended", 0]["state"] == "done"
    now = farm.clock()
    ids = {verify(secret, r.headers, r.body, now=now) for r in receiver.received}
    assert ids == set(webhooks.states())
    assert set(webhooks.states().values()) == {DeliveryState.DELIVERED}
    with pytest.raises(BadSignature):
        verify(secret, receiver.received[0].headers, receiver.received[0].body + b" ", now=now)
    with pytest.raises(BadSignature):
        verify(secret, receiver.received[0].headers, receiver.received[0].body, now=now + 301)


def test_dispatcher_delivers_once_after_five_failures(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.create_webhook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [500, 503, 404, 302, 429]
    webhooks.finish_job()
    for wait in (0, 5, 10, 20, 40):
        webhooks.farm.clock.advance(wait - 0.01)
        webhooks.tick()
        webhooks.farm.clock.advance(0.01)
        webhooks.tick()
    assert (receiver.failing, receiver.received) == ([], [])
    (row,) = webhooks.farm.rows(DeliveryRow)
    assert (row.tries, row.status, row.state) == (5, 429, DeliveryState.PENDING)
    webhooks.farm.clock.advance(80)
    for _ in range(3):
        webhooks.tick()
    assert len(receiver.received) == 1
    assert len({r.headers[ID] for r in [*receiver.refused, *receiver.received]}) == 1
    assert webhooks.farm.rows(WebhookRow)[0].failures == 0


def test_dispatcher_sends_later_messages_after_one_that_fails(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.create_webhook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [400]
    webhooks.finish_job(3)
    webhooks.tick()
    assert receiver.received == [], "the receiver gets no request for a second"
    webhooks.farm.clock.advance(1)
    webhooks.tick()
    assert len(receiver.received) == 2
    webhooks.farm.clock.advance(4)
    webhooks.tick()
    assert len({r.headers[ID] for r in receiver.received}) == 3


def test_dispatcher_gives_up_old_messages_and_sends_them_on_request(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.create_webhook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [500]
    webhooks.finish_job(2)
    webhooks.tick()
    webhooks.farm.clock.advance(GIVE_UP_SECONDS + 1)
    webhooks.tick()
    assert set(webhooks.states().values()) == {DeliveryState.GIVEN_UP}, "the untried one as well"
    first = webhooks.farm.rows(DeliveryRow)[0]
    with webhooks.farm.database.write() as session:
        assert webhook_outbox.restart(
            session, first.webhook_id, first.message_id, webhooks.farm.clock()
        )
        assert not webhook_outbox.restart(
            session, first.webhook_id, "msg_other", webhooks.farm.clock()
        )
    webhooks.tick()
    assert [r.headers[ID] for r in receiver.received] == [first.message_id]


def test_dispatcher_checks_for_old_messages_once_a_minute_by_an_index(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    plans: list[str] = []

    def note(_connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("UPDATE webhook_delivery") and "since" in statement:
            explain = f"EXPLAIN QUERY PLAN {statement}"
            plans.extend(row[3] for row in cursor.execute(explain, values))

    webhooks.create_webhook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [500] * 3
    webhooks.finish_job(3)
    event.listen(webhooks.farm.database.engine, "before_cursor_execute", note)
    for _ in range(3):
        webhooks.tick()
        webhooks.farm.clock.advance(20)
    assert len(plans) == 1
    assert "ix_webhook_delivery_waiting" in plans[0]
    webhooks.tick()
    assert len(plans) == 2


def test_dispatcher_serves_other_receivers_while_one_is_slow(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    with ExitStack() as stack:
        slow = stack.enter_context(receiving())
        slow.held.clear()
        webhooks.create_webhook(slow.url)
        webhooks.create_webhook(receiver.url)
        webhooks.finish_job(BATCH + 1)
        webhooks.dispatcher.tick()
        wait_until(
            lambda: len(receiver.received) == BATCH + 2, timeout_s=20, what="the other has all"
        )
        assert slow.received == []
        slow.held.set()
        wait_until(lambda: len(slow.received) == BATCH + 2, timeout_s=20, what="the slow one too")


def test_dispatcher_sends_messages_of_a_webhook_in_order(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.create_webhook(receiver.url)
    webhooks.finish_job(BATCH + 1)
    webhooks.tick()
    rows = sorted(webhooks.farm.rows(DeliveryRow), key=lambda row: row.id or 0)
    assert len(rows) == BATCH + 2
    assert [r.headers[ID] for r in receiver.received] == [row.message_id for row in rows]


def test_dispatcher_sends_only_selected_events_of_the_owner(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.create_webhook(receiver.url, HookEvent.JOB_ENDED)
    webhooks.create_webhook(receiver.url, owner="stranger")
    job_id = webhooks.farm.submit(briefs(1)).job_id
    webhooks.farm.change(job_id, jobs.cancel)
    webhooks.tick()
    assert [(r.json["type"], r.json["data"]["state"]) for r in receiver.received] == [
        ("job.ended", "cancelled")
    ]


def cancel_and_fail(session: Session, job: JobRow, now: float) -> None:
    jobs.cancel(session, job, now)
    raise ZeroDivisionError


def test_outbox_drops_messages_of_a_rolled_back_transaction(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.create_webhook(receiver.url)
    job_id = webhooks.farm.submit(briefs(1)).job_id
    with pytest.raises(ZeroDivisionError):
        webhooks.farm.change(job_id, cancel_and_fail)
    assert webhooks.farm.count(DeliveryRow) == 0


def test_dispatcher_judges_the_address_again_at_each_send(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    """The resolution of a name may have changed since."""
    webhooks.create_webhook(receiver.url)
    webhooks.finish_job()
    strict = webhooks.new_dispatcher(policy=EgressPolicy(ports=()))
    webhooks.dispatcher.close()
    webhooks.dispatcher = strict
    webhooks.tick()
    assert receiver.received == receiver.refused == []
    errors = {row.error for row in webhooks.farm.rows(DeliveryRow)}
    assert "not allowed: 127.0.0.1 is not a public address" in errors


def test_dispatcher_sends_only_as_the_leader(webhooks: WebhookFixture, receiver: Receiver) -> None:
    webhooks.create_webhook(receiver.url)
    webhooks.finish_job()
    other = Leadership(database=webhooks.farm.database, holder="other", lease_seconds=3600)
    other._leads = True  # it was suspended, and still believes that it leads
    frozen = webhooks.new_dispatcher(leadership=other)
    frozen.tick()
    frozen.close()
    assert receiver.received == []


def test_dispatcher_sends_nothing_with_another_signing_secret(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.create_webhook(receiver.url)
    webhooks.finish_job()
    other = webhooks.new_dispatcher(signing_secret=b"t" * 32)
    webhooks.dispatcher.close()
    webhooks.dispatcher = other
    webhooks.tick()
    assert receiver.received == []
    assert any("signing secret" in row.error for row in webhooks.farm.rows(DeliveryRow))


def test_dispatcher_skips_messages_reserved_by_another_scheduler(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    """The second scheduler leads while messages taken by the first are in flight."""
    webhooks.create_webhook(receiver.url, HookEvent.TRACK_DONE)
    webhooks.finish_job()
    receiver.held.clear()
    webhooks.dispatcher.tick()
    wait_until(
        lambda: all(row.next_at > webhooks.farm.clock() for row in webhooks.farm.rows(DeliveryRow)),
        timeout_s=10,
        what="it is taken",
    )
    second = webhooks.new_dispatcher()
    second.tick()
    assert second._busy == {}
    receiver.held.set()
    wait_until(lambda: not webhooks.dispatcher._busy, timeout_s=10, what="it is delivered")
    second.close()
    assert len(receiver.received) == 1
