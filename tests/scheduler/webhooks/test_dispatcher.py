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


def test_ends_of_tracks_and_jobs_are_told_and_signed(
    scene: FarmFixture, receiver: Receiver
) -> None:
    """Run on both databases."""
    post = WebhookFixture(scene)
    secret = post.hook(receiver.url)
    job_id = post.made(2)
    failed = scene.submit(briefs(1, word="bad"), catalog="bad").job_id
    worker = scene.join("other")
    offer = scene.claimed(worker, failed)
    (bad,) = scene.ids(failed)
    scene.report(worker, offer, failed=[failure(bad, FailureKind.BAD_INPUT)])
    post.tick()
    post.tick()
    post.deliverer.close()
    assert receiver.types() == {"track.done": 2, "job.ended": 1, "track.failed": 1}
    data_by_event = {
        (r.json["type"], r.json["data"].get("ordinal", 0)): r.json["data"] for r in receiver.got
    }
    done = data_by_event["track.done", 2]
    track_id = scene.ids(job_id)[1]
    artifact = next(a for a in scene.artifacts() if a.track_id == track_id)
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
    now = scene.clock()
    ids = {verify(secret, r.headers, r.body, now=now) for r in receiver.got}
    assert ids == set(post.states())
    assert set(post.states().values()) == {DeliveryState.DELIVERED}
    with pytest.raises(BadSignature):
        verify(secret, receiver.got[0].headers, receiver.got[0].body + b" ", now=now)
    with pytest.raises(BadSignature):
        verify(secret, receiver.got[0].headers, receiver.got[0].body, now=now + 301)


def test_a_receiver_that_fails_five_times_gets_its_message_once(
    post: WebhookFixture, receiver: Receiver
) -> None:
    post.hook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [500, 503, 404, 302, 429]
    post.made()
    for wait in (0, 5, 10, 20, 40):
        post.scene.clock.advance(wait - 0.01)
        post.tick()
        post.scene.clock.advance(0.01)
        post.tick()
    assert (receiver.failing, receiver.got) == ([], [])
    (row,) = post.scene.rows(DeliveryRow)
    assert (row.tries, row.status, row.state) == (5, 429, DeliveryState.PENDING)
    post.scene.clock.advance(80)
    for _ in range(3):
        post.tick()
    assert len(receiver.got) == 1
    assert len({r.headers[ID] for r in [*receiver.refused, *receiver.got]}) == 1
    assert post.scene.rows(WebhookRow)[0].failures == 0


def test_a_message_that_its_receiver_never_takes_keeps_no_other_back(
    post: WebhookFixture, receiver: Receiver
) -> None:
    post.hook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [400]
    post.made(3)
    post.tick()
    assert receiver.got == [], "the receiver gets no request for a second"
    post.scene.clock.advance(1)
    post.tick()
    assert len(receiver.got) == 2
    post.scene.clock.advance(4)
    post.tick()
    assert len({r.headers[ID] for r in receiver.got}) == 3


def test_what_cannot_be_delivered_is_given_up_and_may_be_sent_again(
    post: WebhookFixture, receiver: Receiver
) -> None:
    post.hook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [500]
    post.made(2)
    post.tick()
    post.scene.clock.advance(KEEP_TRYING + 1)
    post.tick()
    assert set(post.states().values()) == {DeliveryState.GIVEN_UP}, "the untried one as well"
    first = post.scene.rows(DeliveryRow)[0]
    with post.scene.database.write() as session:
        assert webhook_outbox.send_again(
            session, first.webhook_id, first.message_id, post.scene.clock()
        )
        assert not webhook_outbox.send_again(
            session, first.webhook_id, "msg_other", post.scene.clock()
        )
    post.tick()
    assert [r.headers[ID] for r in receiver.got] == [first.message_id]


def test_what_is_too_old_is_looked_for_once_a_minute_and_by_an_index(
    post: WebhookFixture, receiver: Receiver
) -> None:
    plans: list[str] = []

    def note(_connection: Any, cursor: Any, said: str, values: Any, *_: Any) -> None:
        if said.startswith("UPDATE webhook_delivery") and "since" in said:
            plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {said}", values))

    post.hook(receiver.url, HookEvent.TRACK_DONE)
    receiver.failing = [500] * 3
    post.made(3)
    event.listen(post.scene.database.engine, "before_cursor_execute", note)
    for _ in range(3):
        post.tick()
        post.scene.clock.advance(20)
    assert len(plans) == 1
    assert "ix_webhook_delivery_waiting" in plans[0]
    post.tick()
    assert len(plans) == 2


def test_a_receiver_that_does_not_answer_holds_up_nobody(
    post: WebhookFixture, receiver: Receiver
) -> None:
    with ExitStack() as stack:
        slow = stack.enter_context(receiving())
        slow.held.clear()
        post.hook(slow.url)
        post.hook(receiver.url)
        post.made(ROUND + 1)
        post.deliverer.tick()
        wait_until(lambda: len(receiver.got) == ROUND + 2, timeout_s=20, what="the other has all")
        assert slow.got == []
        slow.held.set()
        wait_until(lambda: len(slow.got) == ROUND + 2, timeout_s=20, what="the slow one too")


def test_only_what_was_asked_for_and_only_of_the_owner(
    post: WebhookFixture, receiver: Receiver
) -> None:
    post.hook(receiver.url, HookEvent.JOB_ENDED)
    post.hook(receiver.url, owner="stranger")
    job_id = post.scene.submit(briefs(1)).job_id
    post.scene.change(job_id, jobs.cancel)
    post.tick()
    assert [(r.json["type"], r.json["data"]["state"]) for r in receiver.got] == [
        ("job.ended", "cancelled")
    ]


def cancel_and_fail(session: Session, job: JobRow, now: float) -> None:
    jobs.cancel(session, job, now)
    raise ZeroDivisionError


def test_a_message_is_gone_with_the_transaction_it_tells_of(
    post: WebhookFixture, receiver: Receiver
) -> None:
    post.hook(receiver.url)
    job_id = post.scene.submit(briefs(1)).job_id
    with pytest.raises(ZeroDivisionError):
        post.scene.change(job_id, cancel_and_fail)
    assert post.scene.number(DeliveryRow) == 0


def test_an_address_is_judged_again_when_something_is_sent(
    post: WebhookFixture, receiver: Receiver
) -> None:
    """The resolution of a name may have changed since."""
    post.hook(receiver.url)
    post.made()
    strict = post.another(rules=EgressPolicy(ports=()))
    post.deliverer.close()
    post.deliverer = strict
    post.tick()
    assert receiver.got == receiver.refused == []
    errors = {row.error for row in post.scene.rows(DeliveryRow)}
    assert "not allowed: 127.0.0.1 is not a public address" in errors


def test_only_the_leader_delivers(post: WebhookFixture, receiver: Receiver) -> None:
    post.hook(receiver.url)
    post.made()
    other = Leadership(database=post.scene.database, holder="other", term=3600)
    other._leads = True  # it was suspended, and still believes that it leads
    frozen = post.another(by=other)
    frozen.tick()
    frozen.close()
    assert receiver.got == []


def test_another_signing_secret_signs_nothing(post: WebhookFixture, receiver: Receiver) -> None:
    post.hook(receiver.url)
    post.made()
    other = post.another(signing=b"t" * 32)
    post.deliverer.close()
    post.deliverer = other
    post.tick()
    assert receiver.got == []
    assert any("signing secret" in row.error for row in post.scene.rows(DeliveryRow))


def test_two_schedulers_do_not_take_the_same(post: WebhookFixture, receiver: Receiver) -> None:
    """The second scheduler leads while messages taken by the first are in flight."""
    post.hook(receiver.url, HookEvent.TRACK_DONE)
    post.made()
    receiver.held.clear()
    post.deliverer.tick()
    wait_until(
        lambda: all(row.next_at > post.scene.clock() for row in post.scene.rows(DeliveryRow)),
        timeout_s=10,
        what="it is taken",
    )
    second = post.another()
    second.tick()
    assert second._busy == {}
    receiver.held.set()
    wait_until(lambda: not post.deliverer._busy, timeout_s=10, what="it is delivered")
    second.close()
    assert len(receiver.got) == 1
