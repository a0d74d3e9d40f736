"""Delivery from the transaction to the receiver: no message is lost, sent twice, or delayed by
another receiver."""

from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from tests.scheduler.webhooks.dispatcher_fixture import KEEP_TRYING, WebhookFixture
from tests.scheduler.webhooks.receiver import Receiver, receiving
from tests.servers.process import wait_until
from trackfarm.net.ssrf import EgressPolicy
from trackfarm.protocol.webhooks import ID, BadSignature, DeliveryState, HookEvent, verify
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import jobs, webhook_outbox
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.db.tables_webhooks import DeliveryRow, WebhookRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.webhooks.dispatcher import ROUND


def test_ends_of_tracks_and_jobs_are_told_and_signed(farm: FarmFixture, receiver: Receiver) -> None:
    """Run on both databases."""
    webhooks = WebhookFixture(farm)
    secret = webhooks.hook(receiver.url)
    job_id = webhooks.made(2)
    failed = farm.submit(briefs(1, word="bad"), catalog="bad").job_id
    worker = farm.join("other")
    offer = farm.claimed(worker, failed)
    (bad,) = farm.ids(failed)
    farm.report(worker, offer, failed=[failure(bad, FailureKind.BAD_INPUT)])
    webhooks.tick()
    webhooks.tick()
    webhooks.deliverer.close()
    assert receiver.types() == {"track.done": 2, "job.ended": 1, "track.failed": 1}
    data_by_event = {
        (r.json["type"], r.json["data"].get("ordinal", 0)): r.json["data"] for r in receiver.got
    }
    done = data_by_event["track.done", 2]
    track_id = farm.ids(job_id)[1]
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
    ids = {verify(secret, r.headers, r.body, now=now) for r in receiver.got}
    assert ids == set(webhooks.states())
    assert set(webhooks.states().values()) == {DeliveryState.DELIVERED}
    with pytest.raises(BadSignature):
        verify(secret, receiver.got[0].headers, receiver.got[0].body + b" ", now=now)
    with pytest.raises(BadSignature):
        verify(secret, receiver.got[0].headers, receiver.got[0].body, now=now + 301)


def test_a_receiver_that_fails_five_times_gets_its_message_once(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.hook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [500, 503, 404, 302, 429]
    webhooks.made()
    for wait in (0, 5, 10, 20, 40):
        webhooks.farm.clock.advance(wait - 0.01)
        webhooks.tick()
        webhooks.farm.clock.advance(0.01)
        webhooks.tick()
    assert (receiver.failing, receiver.got) == ([], [])
    (row,) = webhooks.farm.rows(DeliveryRow)
    assert (row.tries, row.status, row.state) == (5, 429, DeliveryState.PENDING)
    webhooks.farm.clock.advance(80)
    for _ in range(3):
        webhooks.tick()
    assert len(receiver.got) == 1
    assert len({r.headers[ID] for r in [*receiver.refused, *receiver.got]}) == 1
    assert webhooks.farm.rows(WebhookRow)[0].failures == 0


def test_a_message_that_its_receiver_never_takes_keeps_no_other_back(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.hook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [400]
    webhooks.made(3)
    webhooks.tick()
    assert receiver.got == [], "the receiver gets no request for a second"
    webhooks.farm.clock.advance(1)
    webhooks.tick()
    assert len(receiver.got) == 2
    webhooks.farm.clock.advance(4)
    webhooks.tick()
    assert len({r.headers[ID] for r in receiver.got}) == 3


def test_what_cannot_be_delivered_is_given_up_and_may_be_sent_again(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.hook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [500]
    webhooks.made(2)
    webhooks.tick()
    webhooks.farm.clock.advance(KEEP_TRYING + 1)
    webhooks.tick()
    assert set(webhooks.states().values()) == {DeliveryState.GIVEN_UP}, "the untried one as well"
    first = webhooks.farm.rows(DeliveryRow)[0]
    with webhooks.farm.database.write() as session:
        assert webhook_outbox.send_again(
            session, first.webhook_id, first.message_id, webhooks.farm.clock()
        )
        assert not webhook_outbox.send_again(
            session, first.webhook_id, "msg_other", webhooks.farm.clock()
        )
    webhooks.tick()
    assert [r.headers[ID] for r in receiver.got] == [first.message_id]


def test_what_is_too_old_is_looked_for_once_a_minute_and_by_an_index(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    plans: list[str] = []

    def note(_connection: Any, cursor: Any, said: str, values: Any, *_: Any) -> None:
        if said.startswith("UPDATE webhook_delivery") and "since" in said:
            plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {said}", values))

    webhooks.hook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [500] * 3
    webhooks.made(3)
    event.listen(webhooks.farm.database.engine, "before_cursor_execute", note)
    for _ in range(3):
        webhooks.tick()
        webhooks.farm.clock.advance(20)
    assert len(plans) == 1
    assert "ix_webhook_delivery_waiting" in plans[0]
    webhooks.tick()
    assert len(plans) == 2


def test_a_receiver_that_does_not_answer_holds_up_nobody(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    with ExitStack() as stack:
        slow = stack.enter_context(receiving())
        slow.held.clear()
        webhooks.hook(slow.url)
        webhooks.hook(receiver.url)
        webhooks.made(ROUND + 1)
        webhooks.deliverer.tick()
        wait_until(lambda: len(receiver.got) == ROUND + 2, timeout_s=20, what="the other has all")
        assert slow.got == []
        slow.held.set()
        wait_until(lambda: len(slow.got) == ROUND + 2, timeout_s=20, what="the slow one too")


def test_only_what_was_asked_for_and_only_of_the_owner(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.hook(receiver.url, HookEvent.JOB_ENDED)
    webhooks.hook(receiver.url, owner="stranger")
    job_id = webhooks.farm.submit(briefs(1)).job_id
    webhooks.farm.change(job_id, jobs.cancel)
    webhooks.tick()
    assert [(r.json["type"], r.json["data"]["state"]) for r in receiver.got] == [
        ("job.ended", "cancelled")
    ]


def cancel_and_fail(session: Session, job: JobRow, now: float) -> None:
    jobs.cancel(session, job, now)
    raise ZeroDivisionError


def test_a_message_is_gone_with_the_transaction_it_tells_of(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhooks.hook(receiver.url)
    job_id = webhooks.farm.submit(briefs(1)).job_id
    with pytest.raises(ZeroDivisionError):
        webhooks.farm.change(job_id, cancel_and_fail)
    assert webhooks.farm.number(DeliveryRow) == 0


def test_an_address_is_judged_again_when_something_is_sent(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    """The resolution of a name may have changed since."""
    webhooks.hook(receiver.url)
    webhooks.made()
    strict = webhooks.another(rules=EgressPolicy(ports=()))
    webhooks.deliverer.close()
    webhooks.deliverer = strict
    webhooks.tick()
    assert receiver.got == receiver.refused == []
    errors = {row.error for row in webhooks.farm.rows(DeliveryRow)}
    assert "not allowed: 127.0.0.1 is not a public address" in errors


def test_only_the_leader_delivers(webhooks: WebhookFixture, receiver: Receiver) -> None:
    webhooks.hook(receiver.url)
    webhooks.made()
    other = Leadership(database=webhooks.farm.database, holder="other", term=3600)
    other._leads = True  # it was suspended, and still believes that it leads
    frozen = webhooks.another(by=other)
    frozen.tick()
    frozen.close()
    assert receiver.got == []


def test_another_signing_secret_signs_nothing(webhooks: WebhookFixture, receiver: Receiver) -> None:
    webhooks.hook(receiver.url)
    webhooks.made()
    other = webhooks.another(signing=b"t" * 32)
    webhooks.deliverer.close()
    webhooks.deliverer = other
    webhooks.tick()
    assert receiver.got == []
    assert any("signing secret" in row.error for row in webhooks.farm.rows(DeliveryRow))


def test_two_schedulers_do_not_take_the_same(webhooks: WebhookFixture, receiver: Receiver) -> None:
    """The second scheduler leads while messages taken by the first are in flight."""
    webhooks.hook(receiver.url, HookEvent.TRACK_DONE)
    webhooks.made()
    receiver.held.clear()
    webhooks.deliverer.tick()
    wait_until(
        lambda: all(row.next_at > webhooks.farm.clock() for row in webhooks.farm.rows(DeliveryRow)),
        timeout_s=10,
        what="it is taken",
    )
    second = webhooks.another()
    second.tick()
    assert second._busy == {}
    receiver.held.set()
    wait_until(lambda: not webhooks.deliverer._busy, timeout_s=10, what="it is delivered")
    second.close()
    assert len(receiver.got) == 1
