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
def job_id(scene: FarmFixture) -> str:
    return scene.submit(briefs(4)).job_id


def lease_row(scene: FarmFixture, offer: ShardOffer) -> LeaseRow:
    return scene.rows(LeaseRow, col(LeaseRow.id) == offer.lease_id)[0]


def shard_state(scene: FarmFixture, offer: ShardOffer) -> str:
    return scene.rows(ShardRow, col(ShardRow.id) == offer.shard_id)[0].state


def ended(
    scene: FarmFixture, offer: ShardOffer, *, left_open: AttemptState = AttemptState.EXPIRED
) -> int:
    with scene.database.write() as session:
        lease = leases.get(session, offer.lease_id, lock=True)
        assert lease is not None
        return leases.end(session, lease, scene.clock(), reason="expired", left_open=left_open)


def released(scene: FarmFixture, offer: ShardOffer, ids: list[int]) -> int:
    with scene.database.write() as session:
        lease = leases.get(session, offer.lease_id, lock=True)
        assert lease is not None
        return leases.release(session, lease, ids, ReleaseReason.STOPPED, scene.clock())


def test_an_offer_leases_its_tracks(scene: FarmFixture, job_id: str, worker: WorkerRow) -> None:
    offer = scene.offer(worker, job_id)
    lease = lease_row(scene, offer)
    assert (lease.state, lease.worker_id, lease.offered_at) == ("live", None, scene.clock())
    assert (shard_state(scene, offer), offer.queue) == ("offered", worker.queue)
    assert scene.states(job_id) == {"leased": 4}
    for attempt in scene.attempts(offer):
        track = scene.track(attempt.track_id)
        assert (attempt.state, attempt.try_number, track.tries) == ("open", 1, 1)
        assert attempt.seed == seed_of(track.key, 0, given=None, variation=0)
        assert attempt.object_key == attempt_key(track.key, offer.lease_id, "mp3")


def test_a_track_is_offered_once(scene: FarmFixture, job_id: str, worker: WorkerRow) -> None:
    first, *_ = scene.ids(job_id)
    scene.offer(worker, job_id, [first])
    assert scene.try_offer(worker, job_id, [first]) is None
    rest = scene.offer(scene.join("other"), job_id, scene.ids(job_id))
    assert [a.track_id for a in scene.attempts(rest)] == scene.ids(job_id)[1:]


def test_offers_side_by_side_never_share_a_track(
    scene: FarmFixture, job_id: str, worker: WorkerRow
) -> None:
    """Offer the same four tracks in eight transactions at once: a conflict may fail one, never
    duplicate."""
    wanted = scene.ids(job_id)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: scene.try_offer(worker, job_id, wanted), range(8)))
    assert sum(offer is not None for offer in results) == 1
    assert scene.number(AttemptRow) == 4


def test_offers_have_rising_numbers_in_each_queue(
    scene: FarmFixture, job_id: str, worker: WorkerRow
) -> None:
    own = [scene.offer(worker, job_id, [track_id]) for track_id in scene.ids(job_id)[:3]]
    elsewhere = scene.offer(scene.join("other"), job_id)
    with scene.database.read() as session:
        later = {o.lease_id: o.later for o in offers.unclaimed(session)}
    assert [later[o.lease_id] for o in [*own, elsewhere]] == [2, 1, 0, 0]


def test_a_claim_starts_the_time(scene: FarmFixture, job_id: str) -> None:
    worker = scene.join()
    offer = scene.offer(worker, job_id)
    scene.clock.advance(3)
    scene.claim(worker, offer)
    first = lease_row(scene, offer)
    assert (first.worker_id, first.claimed_at) == (worker.id, scene.clock())
    assert (first.expires_at, first.stage) == (scene.clock() + LEASE_SECONDS, "claimed")
    assert shard_state(scene, offer) == "claimed"
    scene.clock.advance(5)
    scene.claim(worker, offer)
    again = lease_row(scene, offer)
    assert again.claimed_at == first.claimed_at
    assert again.expires_at == scene.clock() + LEASE_SECONDS
    assert len(scene.events("shard_claimed")) == 1
    assert {a.worker_id for a in scene.attempts(offer)} == {worker.id}


def test_heartbeats_extend_only_what_the_worker_holds(scene: FarmFixture, job_id: str) -> None:
    mine, other = scene.join("a"), scene.join("b")
    ids = scene.ids(job_id)
    held = scene.claimed(mine, job_id, ids[:1])
    foreign = scene.claimed(other, job_id, ids[1:2])
    gone = scene.claimed(mine, job_id, ids[2:3])
    unclaimed = scene.offer(mine, job_id, ids[3:4])
    ended(scene, gone)
    progress = [
        ShardProgress(
            shard_id=o.shard_id, lease_id=o.lease_id, stage=Stage.COMPUTING, step=3, steps=8
        )
        for o in (held, foreign, gone, unclaimed)
    ]
    scene.clock.advance(10)
    with scene.database.write() as session:
        live = lease_expiry.extend(session, {mine.id: progress}, expires_at=scene.clock() + 12)
    assert live == {(mine.id, held.lease_id)}
    row = lease_row(scene, held)
    assert (row.stage, row.step, row.steps) == ("computing", 3, 8)
    assert row.expires_at == scene.clock() + 12
    assert lease_row(scene, foreign).expires_at == scene.clock() + 2
    assert lease_row(scene, unclaimed).expires_at is None


def test_an_ended_lease_gives_its_tracks_back(scene: FarmFixture, job_id: str) -> None:
    worker = scene.join()
    offer = scene.claimed(worker, job_id)
    first, second, *_ = scene.ids(job_id)
    scene.report(worker, offer, done=[scene.upload(offer, first)])
    scene.report(
        worker,
        offer,
        failed=[TrackFailed(track_id=second, kind=FailureKind.SILENT, message="nothing")],
    )
    assert ended(scene, offer) == 2
    assert ended(scene, offer) == 0
    assert scene.states(job_id) == {"done": 1, "pending": 3}
    assert [a.state for a in scene.attempts(offer)] == ["done", "failed", "expired", "expired"]
    assert shard_state(scene, offer) == "finished"
    assert len(scene.events("lease_ended")) == 1


def test_what_was_broken_off_is_made_again_with_its_seed(scene: FarmFixture, job_id: str) -> None:
    """Only a bad result changes the seed."""
    worker = scene.join()
    first, second, *_ = scene.ids(job_id)
    offer = scene.claimed(worker, job_id, [first, second])
    scene.report(
        worker,
        offer,
        failed=[TrackFailed(track_id=second, kind=FailureKind.SILENT, message="nothing")],
    )
    ended(scene, offer)
    again = scene.offer(worker, job_id, [first, second])
    assert scene.attempt(again, first).seed == scene.attempt(offer, first).seed
    assert scene.attempt(again, second).seed != scene.attempt(offer, second).seed
    assert scene.attempt(again, first).object_key != scene.attempt(offer, first).object_key
    assert [a.try_number for a in scene.attempts(again)] == [2, 2]


def test_a_given_seed_is_kept(scene: FarmFixture) -> None:
    job_id = scene.submit(briefs(1, seed=42, variations=3)).job_id
    offer = scene.offer(scene.join(), job_id)
    assert sorted(a.seed for a in scene.attempts(offer)) == [42, 43, 44]


def test_releasing_some_keeps_the_rest(scene: FarmFixture, job_id: str) -> None:
    worker = scene.join()
    offer = scene.claimed(worker, job_id)
    ids = scene.ids(job_id)
    assert released(scene, offer, [*ids[:2], 999_999]) == 2
    assert released(scene, offer, ids[:2]) == 0
    assert scene.states(job_id) == {"pending": 2, "leased": 2}
    assert lease_row(scene, offer).state == "live"
    assert released(scene, offer, ids) == 2
    row = lease_row(scene, offer)
    assert (row.state, row.end_reason) == ("ended", "finished")
    assert scene.states(job_id) == {"pending": 4}
    assert {a.kind for a in scene.attempts(offer)} == {"stopped"}


def test_a_lease_ends_with_its_last_track(scene: FarmFixture, job_id: str) -> None:
    worker = scene.join()
    offer = scene.claimed(worker, job_id)
    for number, track_id in enumerate(scene.ids(job_id), start=1):
        scene.report(worker, offer, done=[scene.upload(offer, track_id)])
        assert (lease_row(scene, offer).state == "ended") == (number == 4)
    assert lease_row(scene, offer).end_reason == "finished"


def test_urls_are_remembered_for_the_sweeper(scene: FarmFixture, job_id: str) -> None:
    offer = scene.claimed(scene.join(), job_id)
    assert {a.url_expires_at for a in scene.attempts(offer)} == {scene.clock() + 3600}


def test_after_the_schedulers_absence_claimed_leases_get_their_time_again(
    scene: FarmFixture, job_id: str
) -> None:
    worker = scene.join()
    old = scene.claimed(worker, job_id, scene.ids(job_id)[:1])
    offer = scene.offer(worker, job_id, scene.ids(job_id)[1:2])
    scene.clock.advance(1_000)
    fresh = scene.claimed(worker, job_id, scene.ids(job_id)[2:3])
    with scene.database.write() as session:
        lease_expiry.grant_time_again(session, scene.clock() + 5)
    assert lease_row(scene, old).expires_at == scene.clock() + 5
    assert lease_row(scene, fresh).expires_at == scene.clock() + LEASE_SECONDS
    assert lease_row(scene, offer).expires_at is None


def test_a_shard_of_vanished_tracks_is_not_made(scene: FarmFixture, job_id: str) -> None:
    worker = scene.join()
    assert scene.try_offer(worker, job_id, [999_999]) is None
    assert scene.try_offer(worker, job_id, [999_999], race=True) is None
    assert scene.number(ShardRow) == 0


def test_a_shard_of_a_vanished_worker_is_not_made(scene: FarmFixture, job_id: str) -> None:
    """The transaction leaves its tracks pending."""
    with scene.database.write() as session:
        shard = NewShard("worker_0000", "q", job_id, tuple(scene.ids(job_id)), 1.0)
        assert offers.offer(session, [shard], now=scene.clock(), is_race=False) == []
    assert scene.states(job_id) == {"pending": 4}
