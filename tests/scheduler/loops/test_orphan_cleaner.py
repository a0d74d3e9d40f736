"""Orphan cleaner: abandoned objects are deleted once they can no longer be written; a real folder,
a controlled clock."""

from pathlib import Path

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import URL_SECONDS, FarmFixture, briefs, failure
from trackfarm_scheduler.db import leases
from trackfarm_scheduler.db import submission as submission_db
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.submission import SubmissionExpired
from trackfarm_scheduler.db.tables import AttemptRow, JobRow, LeaseRow, TrackRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.loops.orphan_cleaner import STALE_UPLOAD_SECONDS, OrphanCleaner
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.policy.states import BAD_WORKER_STRIKES, AttemptState
from trackfarm_scheduler.results.failures import FailureHandler

MARGIN = 60.0


@pytest.fixture
def store(farm: FarmFixture, tmp_path: Path) -> DirectoryStore:
    directory_store = DirectoryStore(
        tmp_path / "objects", base_url="http://127.0.0.1", secret=b"s" * 32, now=farm.clock
    )
    directory_store.check()
    return directory_store


@pytest.fixture
def orphan_cleaner(farm: FarmFixture, store: DirectoryStore) -> OrphanCleaner:
    return OrphanCleaner(
        database=farm.database,
        objects=store,
        leadership=farm.leadership,
        clock=farm.clock,
        margin=MARGIN,
    )


def put(farm: FarmFixture, store: DirectoryStore, offer: ShardOffer) -> list[str]:
    keys = [a.object_key for a in farm.attempts(offer)]
    for key in keys:
        with store.receive(key) as incoming:
            incoming.write(b"music")
            incoming.finish()
    return keys


def stored(store: DirectoryStore) -> set[str]:
    return {stat.key for stat in store.list("tracks/")}


def expire(farm: FarmFixture, offer: ShardOffer) -> None:
    with farm.database.write() as session:
        lease = session.get(LeaseRow, offer.lease_id)
        assert lease is not None
        leases.end(session, lease, farm.clock(), reason="expired", left_open=AttemptState.EXPIRED)


def test_cleaner_removes_abandoned_objects_and_keeps_committed_ones(
    farm: FarmFixture, store: DirectoryStore, orphan_cleaner: OrphanCleaner
) -> None:
    job_id = farm.submit(briefs(3)).job_id
    worker = farm.join()
    offer = farm.lease(worker, job_id)
    done_key, failed_key, expired_key = put(farm, store, offer)
    done, failed, _ = farm.track_ids(job_id)
    farm.report(worker, offer, done=[farm.upload(offer, done)], failed=[failure(failed)])
    expire(farm, offer)
    again = farm.lease(worker, job_id)
    kept = put(farm, store, again)

    farm.clock.advance(URL_SECONDS + MARGIN)
    orphan_cleaner.tick()
    assert stored(store) == {done_key, failed_key, expired_key, *kept}, "a URL may still be valid"
    farm.clock.advance(0.1)
    orphan_cleaner.tick()
    assert stored(store) == {done_key, *kept}
    assert farm.count(AttemptRow, col(AttemptRow.object_removed_at).is_not(None)) == 2
    orphan_cleaner.tick()
    assert farm.count(AttemptRow, col(AttemptRow.object_removed_at).is_not(None)) == 2


def test_cleaner_removes_late_objects_of_a_quarantined_worker(
    farm: FarmFixture, store: DirectoryStore, orphan_cleaner: OrphanCleaner
) -> None:
    """Its failures are forgiven, but its upload URLs are still valid."""
    worker, job_id = farm.join(), farm.submit(briefs(1)).job_id
    farm.heartbeat(worker)
    offer = farm.lease(worker, job_id)
    farm.report(worker, offer, failed=[failure(farm.track_ids(job_id)[0])])
    with farm.database.write() as session:
        FailureHandler.strike(session, worker.id, BAD_WORKER_STRIKES, farm.clock())
    assert farm.attempts(offer)[0].state == AttemptState.FORGIVEN
    put(farm, store, offer)
    farm.clock.advance(URL_SECONDS + MARGIN + 1)
    orphan_cleaner.tick()
    assert stored(store) == set()


def test_cleaner_waits_for_a_renewed_url(
    farm: FarmFixture, store: DirectoryStore, orphan_cleaner: OrphanCleaner
) -> None:
    job_id = farm.submit(briefs(1)).job_id
    worker = farm.join()
    offer = farm.lease(worker, job_id)
    (key,) = put(farm, store, offer)
    farm.clock.advance(1_000)
    farm.claim(worker, offer)
    expire(farm, offer)
    farm.clock.advance(URL_SECONDS + MARGIN - 500)
    orphan_cleaner.tick()
    assert stored(store) == {key}
    farm.clock.advance(501)
    orphan_cleaner.tick()
    assert stored(store) == set()


def test_cleaner_ignores_objects_that_never_came(
    farm: FarmFixture, orphan_cleaner: OrphanCleaner
) -> None:
    job_id = farm.submit(briefs(1)).job_id
    offer = farm.lease(farm.join(), job_id)
    expire(farm, offer)
    farm.clock.advance(URL_SECONDS + MARGIN + 1)
    orphan_cleaner.tick()
    assert farm.count(AttemptRow, col(AttemptRow.object_removed_at).is_not(None)) == 1


def test_cleaner_ignores_unclaimed_offers(farm: FarmFixture, orphan_cleaner: OrphanCleaner) -> None:
    offer = farm.offer(farm.join(), farm.submit(briefs(1)).job_id)
    expire(farm, offer)
    farm.clock.advance(10 * URL_SECONDS)
    orphan_cleaner.tick()
    assert farm.attempts(offer)[0].object_removed_at is None


def test_cleaner_removes_several_batches_in_one_tick(
    farm: FarmFixture, orphan_cleaner: OrphanCleaner
) -> None:
    job_id = farm.submit(briefs(1_100)).job_id
    offer = farm.lease(farm.join(), job_id)
    expire(farm, offer)
    farm.clock.advance(URL_SECONDS + MARGIN + 1)
    orphan_cleaner.tick()
    assert farm.count(AttemptRow, col(AttemptRow.object_removed_at).is_(None)) == 0


def test_cleaner_removes_interrupted_submissions(
    farm: FarmFixture, orphan_cleaner: OrphanCleaner
) -> None:
    """This includes uploads to another scheduler; an upload in progress stays, however long it
    takes."""
    kept = farm.submit(briefs(2))
    broken, slow = farm.begin_submission(), farm.begin_submission(catalog="slow")
    farm.add_briefs(broken, briefs(4))
    for chunk, expected_jobs in enumerate([3, 3, 2]):
        farm.clock.advance(STALE_UPLOAD_SECONDS / 2)
        farm.add_briefs(slow, briefs(2, word=f"chunk {chunk}"))
        orphan_cleaner.tick()
        assert farm.count(JobRow) == expected_jobs
    sealed = farm.seal_submission(slow)
    farm.clock.advance(10 * STALE_UPLOAD_SECONDS)
    orphan_cleaner.tick()
    assert {job.id for job in farm.rows(JobRow)} == {kept.job_id, sealed.job_id}
    assert farm.count(TrackRow) == 2 + 6


def test_submission_that_was_removed_is_refused(
    farm: FarmFixture, orphan_cleaner: OrphanCleaner
) -> None:
    late, done = farm.begin_submission(), farm.begin_submission(catalog="other")
    for upload in (late, done):
        farm.add_briefs(upload, briefs(2))
    sealed = farm.seal_submission(done)
    farm.clock.advance(STALE_UPLOAD_SECONDS + 1)
    orphan_cleaner.tick()
    with pytest.raises(SubmissionExpired):
        farm.add_briefs(late, briefs(2, word="late"))
    with pytest.raises(SubmissionExpired):
        farm.seal_submission(late)
    with farm.database.write() as session:  # it was sealed just before it would have been removed
        submission_db.abandon_stale(session, sealed.job_id, untouched_since=farm.clock())
    assert [job.id for job in farm.rows(JobRow)] == [sealed.job_id]
    assert {track.job_id for track in farm.rows(TrackRow)} == {sealed.job_id}


def test_cleaner_acts_only_as_the_leader(farm: FarmFixture, store: DirectoryStore) -> None:
    farm.add_briefs(farm.begin_submission(), briefs(4))
    farm.clock.advance(10 * STALE_UPLOAD_SECONDS)
    other = Leadership(database=farm.database, holder="other", lease_seconds=60)
    other.tick()
    orphan_cleaner = OrphanCleaner(
        database=farm.database, objects=store, leadership=other, clock=farm.clock, margin=MARGIN
    )
    orphan_cleaner.tick()
    assert farm.count(JobRow) == 1
