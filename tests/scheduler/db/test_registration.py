"""Admission of workers on both databases: invitations are counted, and an old token is used
once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import FarmFixture
from trackfarm.protocol.operator import InvitationRequest
from trackfarm.protocol.worker import RegisterRequest
from trackfarm.tiers import tier_of
from trackfarm_scheduler.db import invitations, registration, workers
from trackfarm_scheduler.db.invitations import CreatedInvitation
from trackfarm_scheduler.db.registration import RETURN_SECONDS, Joined
from trackfarm_scheduler.db.tables import WorkerRow
from trackfarm_scheduler.db.tables_access import InvitationRow
from trackfarm_scheduler.policy.retry import BAD_WORKER_STRIKES

JOIN_TOKEN = "a-join-token-of-the-tests"


def invite(scene: FarmFixture, **fields: Any) -> CreatedInvitation:
    with scene.database.write() as session:
        request = InvitationRequest(**fields)
        return invitations.create(session, request, scene.clock(), made_by="operator")


def enter(scene: FarmFixture, token: str, *, nonce: str = "", **facts: Any) -> Joined | None:
    """Register a worker as the API does; None if it is refused."""
    defaults = {"name": "gpu", "gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"} | facts
    request = RegisterRequest.model_validate(defaults | {"nonce": nonce})
    tier = tier_of(request.memory_mib)
    assert tier is not None
    with scene.database.write() as session:
        now = scene.clock()
        admitted = registration.admit(session, token, now, join_token=JOIN_TOKEN, nonce=nonce)
        if admitted is None:
            return None
        joined = registration.join(session, request, tier, now, invitation=admitted.invitation)
        if admitted.predecessor is not None:
            registration.replace(session, admitted.predecessor, now)
        return joined


def left(scene: FarmFixture, invited: CreatedInvitation) -> int:
    return scene.rows(InvitationRow, col(InvitationRow.id) == invited.invitation.id)[0].uses_left


def states(scene: FarmFixture) -> list[str]:
    return sorted(worker.state for worker in scene.rows(WorkerRow))


def test_as_many_join_as_were_invited(scene: FarmFixture) -> None:
    invited = invite(scene, uses=2)
    assert enter(scene, invited.token)
    assert enter(scene, invited.token)
    assert enter(scene, invited.token) is None
    assert (left(scene, invited), scene.number(WorkerRow)) == (0, 2)


def test_of_many_at_once_one_gets_the_only_use(scene: FarmFixture) -> None:
    invited = invite(scene, uses=1)
    with ThreadPoolExecutor(8) as pool:
        entered = list(pool.map(lambda _: enter(scene, invited.token), range(8)))
    assert sum(joined is not None for joined in entered) == 1
    assert (left(scene, invited), scene.number(WorkerRow)) == (0, 1)


def test_nobody_joins_later_nor_after_it_was_revoked(scene: FarmFixture) -> None:
    late, revoked = invite(scene, uses=9, seconds=60), invite(scene, uses=9)
    with scene.database.write() as session:
        invitations.revoke(session, revoked.invitation.id, scene.clock())
    assert enter(scene, revoked.token) is None
    scene.clock.advance(59)
    assert enter(scene, late.token)
    scene.clock.advance(1)
    assert enter(scene, late.token) is None


@pytest.mark.parametrize("token", ["", "wrong", "a-join-token-of-the-test", "ä"])
def test_no_other_token_opens_anything(scene: FarmFixture, token: str) -> None:
    invited = invite(scene)
    assert enter(scene, token) is None
    assert enter(scene, invited.invitation.token_hash) is None
    assert enter(scene, invited.invitation.id) is None
    assert scene.number(WorkerRow) == 0


def test_the_join_token_can_be_switched_off(scene: FarmFixture) -> None:
    with scene.database.write() as session:
        for token in ("", JOIN_TOKEN):
            admitted = registration.admit(session, token, scene.clock(), join_token="", nonce="")
            assert admitted is None
    assert enter(scene, JOIN_TOKEN)


def test_what_the_invitation_says_wins(scene: FarmFixture) -> None:
    invited = invite(scene, uses=2, provider="vast", rental_tag="tag-1", price_per_hour=2.5)
    claims: dict[str, Any] = {"provider": "own", "rental_tag": "mine", "price_per_hour": 0.0}
    joined = enter(scene, invited.token, **claims)
    silent = enter(scene, invite(scene).token, **claims)
    assert joined is not None
    assert silent is not None
    worker, believed = scene.worker(joined.worker_id), scene.worker(silent.worker_id)
    assert (worker.provider, worker.rental_tag, worker.price_per_hour) == ("vast", "tag-1", 2.5)
    assert worker.invitation_id == invited.invitation.id
    assert (believed.provider, believed.rental_tag, believed.price_per_hour) == ("own", "mine", 0.0)


def test_who_asks_again_because_the_answer_was_lost_spends_one_use(scene: FarmFixture) -> None:
    invited = invite(scene, uses=1)
    first, again = (enter(scene, invited.token, nonce="same") for _ in range(2))
    assert first is not None
    assert again is not None
    assert states(scene) == ["gone", "joining"]
    assert enter(scene, invited.token, nonce="another") is None
    scene.beat(scene.worker(again.worker_id))
    assert enter(scene, invited.token, nonce="same") is None, "its response has arrived"


@pytest.mark.parametrize("departed", [True, False])
def test_a_restarted_worker_takes_up_its_past_once(scene: FarmFixture, departed: bool) -> None:
    invited = invite(scene, provider="vast", rental_tag="tag-1", price_per_hour=2.5)
    first = enter(scene, invited.token)
    assert first is not None
    if departed:
        with scene.database.write() as session:
            workers.leave(session, first.worker_id, scene.clock(), reason="restarted")
    second = enter(scene, first.token, provider="own", price_per_hour=0.0)
    assert second is not None
    heir = scene.worker(second.worker_id)
    assert (heir.provider, heir.rental_tag, heir.price_per_hour) == ("vast", "tag-1", 2.5)
    assert scene.worker(first.worker_id).state == "gone"
    assert enter(scene, first.token) is None
    assert enter(scene, second.token)
    assert left(scene, invited) == 0


def test_of_many_that_take_up_one_past_one_succeeds(scene: FarmFixture) -> None:
    first = enter(scene, JOIN_TOKEN)
    assert first is not None
    with ThreadPoolExecutor(6) as pool:
        entered = list(pool.map(lambda _: enter(scene, first.token), range(6)))
    assert sum(joined is not None for joined in entered) == 1


def test_an_old_token_is_worth_nothing_after_an_hour(scene: FarmFixture) -> None:
    first = enter(scene, JOIN_TOKEN)
    assert first is not None
    scene.clock.advance(RETURN_SECONDS + 1)
    assert enter(scene, first.token) is None


def test_who_was_removed_or_quarantined_does_not_return(scene: FarmFixture) -> None:
    removed, bad = enter(scene, JOIN_TOKEN), enter(scene, JOIN_TOKEN)
    assert removed is not None
    assert bad is not None
    with scene.database.write() as session:
        ended = registration.remove(session, removed.worker_id, scene.clock())
        assert ended is not None
        assert ended.state == "gone"
        workers.strike(session, bad.worker_id, BAD_WORKER_STRIKES)
        assert registration.remove(session, "worker_0000", scene.clock()) is None
    assert enter(scene, removed.token) is None
    assert enter(scene, bad.token) is None


def test_only_the_hash_of_a_token_is_stored(scene: FarmFixture) -> None:
    invited = invite(scene)
    (row,) = scene.rows(InvitationRow)
    assert invited.token not in repr(row.model_dump())
    assert row.token_hash == workers.hash_token(invited.token)
