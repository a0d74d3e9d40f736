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
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.invitations import CreatedInvitation
from trackfarm_scheduler.db.registration import RETURN_SECONDS, WorkerCredentials
from trackfarm_scheduler.db.tables import WorkerRow
from trackfarm_scheduler.db.tables_access import InvitationRow
from trackfarm_scheduler.policy.states import BAD_WORKER_STRIKES

JOIN_TOKEN = "a-join-token-of-the-tests"


def invite(farm: FarmFixture, **fields: Any) -> CreatedInvitation:
    with farm.database.write() as session:
        request = InvitationRequest(**fields)
        return invitations.create(session, request, farm.clock(), made_by="operator")


def enter(
    farm: FarmFixture, token: str, *, nonce: str = "", **facts: Any
) -> WorkerCredentials | None:
    """Register a worker as the API does; None if it is refused."""
    defaults = {"name": "gpu", "gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"} | facts
    request = RegisterRequest.model_validate(defaults | {"nonce": nonce})
    tier = tier_of(request.memory_mib)
    assert tier is not None
    with farm.database.write() as session:
        now = farm.clock()
        admitted = registration.admit(session, token, now, join_token=JOIN_TOKEN, nonce=nonce)
        if admitted is None:
            return None
        joined = registration.join(session, request, tier, now, invitation=admitted.invitation)
        if admitted.predecessor is not None:
            registration.replace(session, admitted.predecessor, now)
        return joined


def left(farm: FarmFixture, invited: CreatedInvitation) -> int:
    return farm.rows(InvitationRow, col(InvitationRow.id) == invited.invitation.id)[0].uses_left


def states(farm: FarmFixture) -> list[str]:
    return sorted(worker.state for worker in farm.rows(WorkerRow))


def test_invitation_admits_as_many_as_it_has_uses(farm: FarmFixture) -> None:
    invited = invite(farm, uses=2)
    assert enter(farm, invited.token)
    assert enter(farm, invited.token)
    assert enter(farm, invited.token) is None
    assert (left(farm, invited), farm.count(WorkerRow)) == (0, 2)


def test_invitation_with_one_use_admits_one_of_many_at_once(farm: FarmFixture) -> None:
    invited = invite(farm, uses=1)
    with ThreadPoolExecutor(8) as pool:
        entered = list(pool.map(lambda _: enter(farm, invited.token), range(8)))
    assert sum(joined is not None for joined in entered) == 1
    assert (left(farm, invited), farm.count(WorkerRow)) == (0, 1)


def test_invitation_ends_by_time_and_by_revocation(farm: FarmFixture) -> None:
    late, revoked = invite(farm, uses=9, seconds=60), invite(farm, uses=9)
    with farm.database.write() as session:
        invitations.revoke(session, revoked.invitation.id, farm.clock())
    assert enter(farm, revoked.token) is None
    farm.clock.advance(59)
    assert enter(farm, late.token)
    farm.clock.advance(1)
    assert enter(farm, late.token) is None


@pytest.mark.parametrize("token", ["", "wrong", "a-join-token-of-the-test", "ä"])
def test_admit_refuses_unknown_tokens(farm: FarmFixture, token: str) -> None:
    invited = invite(farm)
    assert enter(farm, token) is None
    assert enter(farm, invited.invitation.token_hash) is None
    assert enter(farm, invited.invitation.id) is None
    assert farm.count(WorkerRow) == 0


def test_admit_by_join_token_can_be_disabled(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        for token in ("", JOIN_TOKEN):
            admitted = registration.admit(session, token, farm.clock(), join_token="", nonce="")
            assert admitted is None
    assert enter(farm, JOIN_TOKEN)


def test_join_prefers_the_facts_of_the_invitation(farm: FarmFixture) -> None:
    invited = invite(farm, uses=2, provider="vast", rental_tag="tag-1", price_per_hour=2.5)
    claims: dict[str, Any] = {"provider": "own", "rental_tag": "mine", "price_per_hour": 0.0}
    joined = enter(farm, invited.token, **claims)
    silent = enter(farm, invite(farm).token, **claims)
    assert joined is not None
    assert silent is not None
    worker, believed = farm.worker(joined.worker_id), farm.worker(silent.worker_id)
    assert (worker.provider, worker.rental_tag, worker.price_per_hour) == ("vast", "tag-1", 2.5)
    assert worker.invitation_id == invited.invitation.id
    assert (believed.provider, believed.rental_tag, believed.price_per_hour) == ("own", "mine", 0.0)


def test_repeated_join_with_a_nonce_spends_one_use(farm: FarmFixture) -> None:
    invited = invite(farm, uses=1)
    first, again = (enter(farm, invited.token, nonce="same") for _ in range(2))
    assert first is not None
    assert again is not None
    assert states(farm) == ["gone", "joining"]
    assert enter(farm, invited.token, nonce="another") is None
    farm.heartbeat(farm.worker(again.worker_id))
    assert enter(farm, invited.token, nonce="same") is None, "its response has arrived"


@pytest.mark.parametrize("departed", [True, False])
def test_admit_by_an_old_token_replaces_its_worker_once(farm: FarmFixture, departed: bool) -> None:
    invited = invite(farm, provider="vast", rental_tag="tag-1", price_per_hour=2.5)
    first = enter(farm, invited.token)
    assert first is not None
    if departed:
        with farm.database.write() as session:
            workers.leave(session, first.worker_id, farm.clock(), reason="restarted")
    second = enter(farm, first.token, provider="own", price_per_hour=0.0)
    assert second is not None
    heir = farm.worker(second.worker_id)
    assert (heir.provider, heir.rental_tag, heir.price_per_hour) == ("vast", "tag-1", 2.5)
    assert farm.worker(first.worker_id).state == "gone"
    assert enter(farm, first.token) is None
    assert enter(farm, second.token)
    assert left(farm, invited) == 0


def test_admit_by_an_old_token_admits_one_of_many_at_once(farm: FarmFixture) -> None:
    first = enter(farm, JOIN_TOKEN)
    assert first is not None
    with ThreadPoolExecutor(6) as pool:
        entered = list(pool.map(lambda _: enter(farm, first.token), range(6)))
    assert sum(joined is not None for joined in entered) == 1


def test_old_token_expires_after_an_hour_of_silence(farm: FarmFixture) -> None:
    first = enter(farm, JOIN_TOKEN)
    assert first is not None
    farm.clock.advance(RETURN_SECONDS + 1)
    assert enter(farm, first.token) is None


def test_removed_or_quarantined_worker_may_not_return(farm: FarmFixture) -> None:
    removed, bad = enter(farm, JOIN_TOKEN), enter(farm, JOIN_TOKEN)
    assert removed is not None
    assert bad is not None
    with farm.database.write() as session:
        ended = registration.remove(session, removed.worker_id, farm.clock())
        assert ended is not None
        assert ended.state == "gone"
        workers.strike(session, bad.worker_id, BAD_WORKER_STRIKES)
        assert registration.remove(session, "worker_0000", farm.clock()) is None
    assert enter(farm, removed.token) is None
    assert enter(farm, bad.token) is None


def test_invitation_stores_only_the_hash_of_its_token(farm: FarmFixture) -> None:
    invited = invite(farm)
    (row,) = farm.rows(InvitationRow)
    assert invited.token not in repr(row.model_dump())
    assert row.token_hash == digest_of(invited.token)
