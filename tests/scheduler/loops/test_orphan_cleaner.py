"""Orphan cleaner: abandoned objects are deleted once they can no longer be written; a real folder,
a controlled clock."""

from pathlib import Path

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import URL_SECONDS, FarmFixture, briefs, failure
from trackfarm_scheduler.db import leases
from trackfarm_scheduler.db import submission as submission_db
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.submission import GivenUp
from trackfarm_scheduler.db.tables import AttemptRow, JobRow, LeaseRow, TrackRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.loops.orphan_cleaner import STALE_UPLOAD_SECONDS, OrphanCleaner
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.policy.retry import BAD_WORKER_STRIKES
from trackfarm_scheduler.policy.states import AttemptState
from trackfarm_scheduler.results.failures import FailureHandler

MARGIN = 60.0


@pytest.fixture
def store(scene: FarmFixture, tmp_path: Path) -> DirectoryStore:
    directory_store = DirectoryStore(
        tmp_path / "objects", base_url="http://127.0.0.1", secret=b"s" * 32, now=scene.clock
    )
    directory_store.check()
    return directory_store


@pytest.fixture
def sweeper(scene: FarmFixture, store: DirectoryStore) -> OrphanCleaner:
    return OrphanCleaner(
        database=scene.database,
        objects=store,
        leadership=scene.leadership,
        clock=scene.clock,
        margin=MARGIN,
    )


def put(scene: FarmFixture, store: DirectoryStore, offer: ShardOffer) -> list[str]:
    keys = [a.object_key for a in scene.attempts(offer)]
    for key in keys:
        with store.receive(key) as incoming:
            incoming.write(b"music")
            incoming.finish()
    return keys


def stored(store: DirectoryStore) -> set[str]:
    return {stat.key for stat in store.list("tracks/")}


def expire(scene: FarmFixture, offer: ShardOffer) -> None:
    with scene.database.write() as session:
        lease = session.get(LeaseRow, offer.lease_id)
        assert lease is not None
        leases.end(session, lease, scene.clock(), reason="expired", left_open=AttemptState.EXPIRED)


def test_what_was_abandoned_goes_and_what_was_committed_stays(
    scene: FarmFixture, store: DirectoryStore, sweeper: OrphanCleaner
) -> None:
    job_id = scene.submit(briefs(3)).job_id
    worker = scene.join()
    offer = scene.claimed(worker, job_id)
    done_key, failed_key, expired_key = put(scene, store, offer)
    done, failed, _ = scene.ids(job_id)
    scene.report(worker, offer, done=[scene.upload(offer, done)], failed=[failure(failed)])
    expire(scene, offer)
    again = scene.claimed(worker, job_id)
    kept = put(scene, store, again)

    scene.clock.advance(URL_SECONDS + MARGIN)
    sweeper.tick()
    assert stored(store) == {done_key, failed_key, expired_key, *kept}, "a URL may still be valid"
    scene.clock.advance(0.1)
    sweeper.tick()
    assert stored(store) == {done_key, *kept}
    assert scene.number(AttemptRow, col(AttemptRow.swept_at).is_not(None)) == 2
    sweeper.tick()
    assert scene.number(AttemptRow, col(AttemptRow.swept_at).is_not(None)) == 2


def test_what_a_quarantined_worker_wrote_once_more_goes_too(
    scene: FarmFixture, store: DirectoryStore, sweeper: OrphanCleaner
) -> None:
    """Its failures are forgiven, but its upload URLs are still valid."""
    worker, job_id = scene.join(), scene.submit(briefs(1)).job_id
    scene.beat(worker)
    offer = scene.claimed(worker, job_id)
    scene.report(worker, offer, failed=[failure(scene.ids(job_id)[0])])
    with scene.database.write() as session:
        FailureHandler.strike(session, worker.id, BAD_WORKER_STRIKES, scene.clock())
    assert scene.attempts(offer)[0].state == AttemptState.FORGIVEN
    put(scene, store, offer)
    scene.clock.advance(URL_SECONDS + MARGIN + 1)
    sweeper.tick()
    assert stored(store) == set()


def test_a_renewed_url_keeps_an_object_longer(
    scene: FarmFixture, store: DirectoryStore, sweeper: OrphanCleaner
) -> None:
    job_id = scene.submit(briefs(1)).job_id
    worker = scene.join()
    offer = scene.claimed(worker, job_id)
    (key,) = put(scene, store, offer)
    scene.clock.advance(1_000)
    scene.claim(worker, offer)
    expire(scene, offer)
    scene.clock.advance(URL_SECONDS + MARGIN - 500)
    sweeper.tick()
    assert stored(store) == {key}
    scene.clock.advance(501)
    sweeper.tick()
    assert stored(store) == set()


def test_an_object_that_never_came_is_no_error(scene: FarmFixture, sweeper: OrphanCleaner) -> None:
    job_id = scene.submit(briefs(1)).job_id
    offer = scene.claimed(scene.join(), job_id)
    expire(scene, offer)
    scene.clock.advance(URL_SECONDS + MARGIN + 1)
    sweeper.tick()
    assert scene.number(AttemptRow, col(AttemptRow.swept_at).is_not(None)) == 1


def test_an_offer_that_nobody_claimed_has_nothing_to_sweep(
    scene: FarmFixture, sweeper: OrphanCleaner
) -> None:
    offer = scene.offer(scene.join(), scene.submit(briefs(1)).job_id)
    expire(scene, offer)
    scene.clock.advance(10 * URL_SECONDS)
    sweeper.tick()
    assert scene.attempts(offer)[0].swept_at is None


def test_more_than_one_batch_goes_in_one_tick(scene: FarmFixture, sweeper: OrphanCleaner) -> None:
    job_id = scene.submit(briefs(1_100)).job_id
    offer = scene.claimed(scene.join(), job_id)
    expire(scene, offer)
    scene.clock.advance(URL_SECONDS + MARGIN + 1)
    sweeper.tick()
    assert scene.number(AttemptRow, col(AttemptRow.swept_at).is_(None)) == 0


def test_an_upload_that_a_crash_cut_off_goes_once_it_has_been_quiet(
    scene: FarmFixture, sweeper: OrphanCleaner
) -> None:
    """This includes uploads to another scheduler; an upload in progress stays, however long it
    takes."""
    kept = scene.submit(briefs(2))
    broken, slow = scene.begin(), scene.begin(catalog="slow")
    scene.add(broken, briefs(4))
    for chunk, expected_jobs in enumerate([3, 3, 2]):
        scene.clock.advance(STALE_UPLOAD_SECONDS / 2)
        scene.add(slow, briefs(2, word=f"chunk {chunk}"))
        sweeper.tick()
        assert scene.number(JobRow) == expected_jobs
    sealed = scene.seal(slow)
    scene.clock.advance(10 * STALE_UPLOAD_SECONDS)
    sweeper.tick()
    assert {job.id for job in scene.rows(JobRow)} == {kept.job_id, sealed.job_id}
    assert scene.number(TrackRow) == 2 + 6


def test_what_comes_after_an_upload_was_given_up_is_refused(
    scene: FarmFixture, sweeper: OrphanCleaner
) -> None:
    late, done = scene.begin(), scene.begin(catalog="other")
    for upload in (late, done):
        scene.add(upload, briefs(2))
    sealed = scene.seal(done)
    scene.clock.advance(STALE_UPLOAD_SECONDS + 1)
    sweeper.tick()
    with pytest.raises(GivenUp):
        scene.add(late, briefs(2, word="late"))
    with pytest.raises(GivenUp):
        scene.seal(late)
    with scene.database.write() as session:  # it was sealed just before it would have been removed
        submission_db.abandon_stale(session, sealed.job_id, untouched_since=scene.clock())
    assert [job.id for job in scene.rows(JobRow)] == [sealed.job_id]
    assert {track.job_id for track in scene.rows(TrackRow)} == {sealed.job_id}


def test_only_the_leader_sweeps(scene: FarmFixture, store: DirectoryStore) -> None:
    scene.add(scene.begin(), briefs(4))
    scene.clock.advance(10 * STALE_UPLOAD_SECONDS)
    other = Leadership(database=scene.database, holder="other", term=60)
    other.tick()
    sweeper = OrphanCleaner(
        database=scene.database, objects=store, leadership=other, clock=scene.clock, margin=MARGIN
    )
    sweeper.tick()
    assert scene.number(JobRow) == 1
