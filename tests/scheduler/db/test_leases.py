"""Shards, leases and attempts in the database: each transition, and each forbidden one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import LEASE_SECONDS, FarmFixture, briefs
from trackfarm.identity import seed_of
from trackfarm.protocol.worker import FailureKind, ReleaseReason, ShardProgress, Stage, TrackFailed
from trackfarm_scheduler.db import lease_expiry, leases, offers
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import AttemptRow, LeaseRow, ShardRow, WorkerRow
from trackfarm_scheduler.objects.keys import attempt_key
from trackfarm_scheduler.policy.models import NewShard
from trackfarm_scheduler.policy.states import AttemptState


@pytest.fixture
def job_id(farm: FarmFixture) -> str:
    return farm.submit(briefs(4)).job_id


def lease_row(farm: FarmFixture, offer: ShardOffer) -> LeaseRow:
    return farm.rows(LeaseRow, col(LeaseRow.id) == offer.lease_id)[0]


def shard_state(farm: FarmFixture, offer: ShardOffer) -> str:
    return farm.rows(ShardRow, col(ShardRow.id) == offer.shard_id)[0].state


def ended(
    farm: FarmFixture, offer: ShardOffer, *, left_open: AttemptState = AttemptState.EXPIRED
) -> int:
    with farm.database.write() as session:
        lease = leases.get(session, offer.lease_id, lock=True)
        assert lease is not None
        return leases.end(session, lease, farm.clock(), reason="expired", left_open=left_open)


def released(farm: FarmFixture, offer: ShardOffer, ids: list[int]) -> int:
    with farm.database.write() as session:
        lease = leases.get(session, offer.lease_id, lock=True)
        assert lease is not None
        return leases.release(session, lease, ids, ReleaseReason.STOPPED, farm.clock())


def test_offer_leases_its_tracks(farm: FarmFixture, job_id: str, worker: WorkerRow) -> None:
    offer = farm.offer(worker, job_id)
    lease = lease_row(farm, offer)
    assert (lease.state, lease.worker_id, lease.offered_at) == ("live", None, farm.clock())
    assert (shard_state(farm, offer), offer.queue) == ("offered", worker.queue)
    assert farm.states(job_id) == {"leased": 4}
    for attempt in farm.attempts(offer):
        track = farm.track(attempt.track_id)
        assert (attempt.state, attempt.try_number, track.tries) == ("open", 1, 1)
        assert attempt.seed == seed_of(track.key, 0, brief_seed=None, variation=0)
        assert attempt.object_key == attempt_key(track.key, offer.lease_id, "mp3")


def test_offer_takes_each_track_once(farm: FarmFixture, job_id: str, worker: WorkerRow) -> None:
    first, *_ = farm.track_ids(job_id)
    farm.offer(worker, job_id, [first])
    assert farm.try_offer(worker, job_id, [first]) is None
    rest = farm.offer(farm.join("other"), job_id, farm.track_ids(job_id))
    assert [a.track_id for a in farm.attempts(rest)] == farm.track_ids(job_id)[1:]


def test_concurrent_offers_never_share_a_track(
    farm: FarmFixture, job_id: str, worker: WorkerRow
) -> None:
    """Offer the same four tracks in eight transactions at once: a conflict may fail one, never
    duplicate."""
    wanted = farm.track_ids(job_id)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: farm.try_offer(worker, job_id, wanted), range(8)))
    assert sum(offer is not None for offer in results) == 1
    assert farm.count(AttemptRow) == 4


def test_offer_sequence_rises_in_each_queue(
    farm: FarmFixture, job_id: str, worker: WorkerRow
) -> None:
    own = [farm.offer(worker, job_id, [track_id]) for track_id in farm.track_ids(job_id)[:3]]
    elsewhere = farm.offer(farm.join("other"), job_id)
    with farm.database.read() as session:
        later = {o.lease_id: o.later for o in offers.list_unclaimed(session)}
    assert [later[o.lease_id] for o in [*own, elsewhere]] == [2, 1, 0, 0]


def test_claim_starts_the_expiry(farm: FarmFixture, job_id: str) -> None:
    worker = farm.join()
    offer = farm.offer(worker, job_id)
    farm.clock.advance(3)
    farm.claim(worker, offer)
    first = lease_row(farm, offer)
    assert (first.worker_id, first.claimed_at) == (worker.id, farm.clock())
    assert (first.expires_at, first.stage) == (farm.clock() + LEASE_SECONDS, "claimed")
    assert shard_state(farm, offer) == "claimed"
    farm.clock.advance(5)
    farm.claim(worker, offer)
    again = lease_row(farm, offer)
    assert again.claimed_at == first.claimed_at
    assert again.expires_at == farm.clock() + LEASE_SECONDS
    assert len(farm.events("shard_claimed")) == 1
    assert {a.worker_id for a in farm.attempts(offer)} == {worker.id}


def test_extend_only_leases_that_the_worker_holds(farm: FarmFixture, job_id: str) -> None:
    mine, other = farm.join("a"), farm.join("b")
    ids = farm.track_ids(job_id)
    held = farm.lease(mine, job_id, ids[:1])
    foreign = farm.lease(other, job_id, ids[1:2])
    gone = farm.lease(mine, job_id, ids[2:3])
    unclaimed = farm.offer(mine, job_id, ids[3:4])
    ended(farm, gone)
    progress = [
        ShardProgress(
            shard_id=o.shard_id, lease_id=o.lease_id, stage=Stage.COMPUTING, step=3, steps=8
        )
        for o in (held, foreign, gone, unclaimed)
    ]
    farm.clock.advance(10)
    with farm.database.write() as session:
        live = lease_expiry.extend(session, {mine.id: progress}, expires_at=farm.clock() + 12)
    assert live == {(mine.id, held.lease_id)}
    row = lease_row(farm, held)
    assert (row.stage, row.step, row.steps) == ("computing", 3, 8)
    assert row.expires_at == farm.clock() + 12
    assert lease_row(farm, foreign).expires_at == farm.clock() + 2
    assert lease_row(farm, unclaimed).expires_at is None


def test_end_returns_the_tracks_of_a_lease(farm: FarmFixture, job_id: str) -> None:
    worker = farm.join()
    offer = farm.lease(worker, job_id)
    first, second, *_ = farm.track_ids(job_id)
    farm.report(worker, offer, done=[farm.upload(offer, first)])
    farm.report(
        worker,
        offer,
        failed=[TrackFailed(track_id=second, kind=FailureKind.SILENT, message="nothing")],
    )
    assert ended(farm, offer) == 2
    assert ended(farm, offer) == 0
    assert farm.states(job_id) == {"done": 1, "pending": 3}
    assert [a.state for a in farm.attempts(offer)] == ["done", "failed", "expired", "expired"]
    assert shard_state(farm, offer) == "finished"
    assert len(farm.events("lease_ended")) == 1


def test_interrupted_track_keeps_its_seed(farm: FarmFixture, job_id: str) -> None:
    """Only a bad result changes the seed."""
    worker = farm.join()
    first, second, *_ = farm.track_ids(job_id)
    offer = farm.lease(worker, job_id, [first, second])
    farm.report(
        worker,
        offer,
        failed=[TrackFailed(track_id=second, kind=FailureKind.SILENT, message="nothing")],
    )
    ended(farm, offer)
    again = farm.offer(worker, job_id, [first, second])
    assert farm.attempt(again, first).seed == farm.attempt(offer, first).seed
    assert farm.attempt(again, second).seed != farm.attempt(offer, second).seed
    assert farm.attempt(again, first).object_key != farm.attempt(offer, first).object_key
    assert [a.try_number for a in farm.attempts(again)] == [2, 2]


def test_requested_seed_is_kept(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(1, seed=42, variations=3)).job_id
    offer = farm.offer(farm.join(), job_id)
    assert sorted(a.seed for a in farm.attempts(offer)) == [42, 43, 44]


def test_release_of_some_tracks_keeps_the_rest(farm: FarmFixture, job_id: str) -> None:
    worker = farm.join()
    offer = farm.lease(worker, job_id)
    ids = farm.track_ids(job_id)
    assert released(farm, offer, [*ids[:2], 999_999]) == 2
    assert released(farm, offer, ids[:2]) == 0
    assert farm.states(job_id) == {"pending": 2, "leased": 2}
    assert lease_row(farm, offer).state == "live"
    assert released(farm, offer, ids) == 2
    row = lease_row(farm, offer)
    assert (row.state, row.end_reason) == ("ended", "finished")
    assert farm.states(job_id) == {"pending": 4}
    assert {a.kind for a in farm.attempts(offer)} == {"stopped"}


def test_lease_ends_with_its_last_track(farm: FarmFixture, job_id: str) -> None:
    worker = farm.join()
    offer = farm.lease(worker, job_id)
    for number, track_id in enumerate(farm.track_ids(job_id), start=1):
        farm.report(worker, offer, done=[farm.upload(offer, track_id)])
        assert (lease_row(farm, offer).state == "ended") == (number == 4)
    assert lease_row(farm, offer).end_reason == "finished"


def test_record_url_expiry_for_the_orphan_cleaner(farm: FarmFixture, job_id: str) -> None:
    offer = farm.lease(farm.join(), job_id)
    assert {a.url_expires_at for a in farm.attempts(offer)} == {farm.clock() + 3600}


def test_extend_all_after_downtime_of_the_scheduler(farm: FarmFixture, job_id: str) -> None:
    worker = farm.join()
    old = farm.lease(worker, job_id, farm.track_ids(job_id)[:1])
    offer = farm.offer(worker, job_id, farm.track_ids(job_id)[1:2])
    farm.clock.advance(1_000)
    fresh = farm.lease(worker, job_id, farm.track_ids(job_id)[2:3])
    with farm.database.write() as session:
        lease_expiry.extend_all(session, farm.clock() + 5)
    assert lease_row(farm, old).expires_at == farm.clock() + 5
    assert lease_row(farm, fresh).expires_at == farm.clock() + LEASE_SECONDS
    assert lease_row(farm, offer).expires_at is None


def test_offer_skips_shards_whose_tracks_are_gone(farm: FarmFixture, job_id: str) -> None:
    worker = farm.join()
    assert farm.try_offer(worker, job_id, [999_999]) is None
    assert farm.try_offer(worker, job_id, [999_999], race=True) is None
    assert farm.count(ShardRow) == 0


def test_offer_skips_shards_whose_worker_is_gone(farm: FarmFixture, job_id: str) -> None:
    """The transaction leaves its tracks pending."""
    with farm.database.write() as session:
        shard = NewShard("worker_0000", "q", job_id, tuple(farm.track_ids(job_id)), 1.0)
        assert offers.create(session, [shard], now=farm.clock(), is_speculative=False) == []
    assert farm.states(job_id) == {"pending": 4}
