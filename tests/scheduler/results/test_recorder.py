"""Commit rule on both databases: committed results, once each, and all reasons for refusal."""

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from tests.scheduler.reports import changed, refusal
from trackfarm.protocol.worker import BatchShare, ReportVerdict
from trackfarm_scheduler.db import events, jobs, leases, workers
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import ArtifactRow, LeaseRow, TrackRow, WorkerRow
from trackfarm_scheduler.policy.leases import CommitRefusal
from trackfarm_scheduler.policy.states import AttemptState


def expire(farm: FarmFixture, offer: ShardOffer) -> None:
    with farm.database.write() as session:
        lease = leases.get(session, offer.lease_id)
        assert lease is not None
        leases.end(session, lease, farm.clock(), reason="expired", left_open=AttemptState.EXPIRED)


def test_recorder_commits_a_result_with_all_facts(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = farm.upload(offer, first)
    farm.clock.advance(1)
    assert [v.verdict for v in farm.report(worker, offer, done=[done])] == [ReportVerdict.COMMITTED]
    (artifact,) = farm.rows(ArtifactRow)
    assert (artifact.track_id, artifact.lease_id, artifact.worker_id) == (
        first,
        offer.lease_id,
        worker.id,
    )
    assert (artifact.object_key, artifact.size, artifact.md5, artifact.sha256) == (
        done.object_key,
        done.size,
        done.md5,
        done.sha256,
    )
    assert (artifact.seed, artifact.seconds, artifact.committed_at) == (
        done.seed,
        10.0,
        farm.clock(),
    )
    track = farm.track(first)
    assert (track.state, track.ended_at, track.error) == ("done", farm.clock(), "")
    credited = farm.rows(WorkerRow)[0]
    assert (credited.tracks_done, credited.tracks_failed) == (1, 0)
    assert len(farm.events("track_done")) == 1


def test_recorder_counts_the_batches_of_committed_tracks(
    farm: FarmFixture, job_id: str, worker: WorkerRow, offer: ShardOffer
) -> None:
    share = BatchShare(tracks=3, padding=0.2, passes=8 / 3)
    reports = [changed(farm.upload(offer, i), batch=share) for i in farm.track_ids(job_id)]
    farm.report(worker, offer, done=reports)
    with farm.database.read() as session:
        totals = {name: value for name, _, value in events.list_counters(session)}
    assert totals["batches"] == pytest.approx(1)
    assert totals["model_passes"] == pytest.approx(8)
    assert totals["padding_seconds"] == pytest.approx(3 * 10 * 0.25)


def test_recorder_ignores_a_repeated_report(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = farm.upload(offer, first)
    farm.report(worker, offer, done=[done])
    for _ in range(2):
        verdicts = farm.report(worker, offer, done=[done], failed=[failure(first)])
        assert [v.verdict for v in verdicts] == [ReportVerdict.ALREADY_DONE, ReportVerdict.REFUSED]
    assert farm.count(ArtifactRow) == 1
    assert farm.rows(WorkerRow)[0].tracks_done == 1


def test_recorder_commits_a_track_named_twice_once(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = farm.upload(offer, first)
    verdicts = farm.report(worker, offer, done=[done, done], failed=[failure(first)] * 2)
    assert [v.verdict for v in verdicts] == [
        ReportVerdict.COMMITTED,
        ReportVerdict.ALREADY_DONE,
        ReportVerdict.REFUSED,
        ReportVerdict.REFUSED,
    ]
    credited = farm.rows(WorkerRow)[0]
    assert (credited.tracks_done, credited.tracks_failed) == (1, 0)


def test_recorder_counts_a_failure_named_twice_once(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    verdicts = farm.report(worker, offer, failed=[failure(first)] * 2)
    assert [v.verdict for v in verdicts] == [ReportVerdict.NOTED, ReportVerdict.REFUSED]
    assert farm.track(first).failures == 1
    assert farm.rows(WorkerRow)[0].tracks_failed == 1


def test_recorder_refuses_a_false_result_beside_a_true_one(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    true = farm.upload(offer, first)
    verdicts = farm.report(worker, offer, done=[changed(true, size=1), true])
    assert [v.verdict for v in verdicts] == [ReportVerdict.REFUSED, ReportVerdict.REFUSED]
    assert farm.count(ArtifactRow) == 0


def test_recorder_refuses_another_workers_lease(
    farm: FarmFixture, offer: ShardOffer, first: int
) -> None:
    thief = farm.join("thief")
    done = farm.upload(offer, first)
    assert refusal(farm.report(thief, offer, done=[done])) == CommitRefusal.LEASE_ENDED
    assert refusal(farm.report(thief, offer, failed=[failure(first)])) == CommitRefusal.LEASE_ENDED
    assert farm.track(first).state == "leased"


def test_recorder_refuses_an_unknown_lease(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = farm.upload(offer, first)
    unknown = ShardOffer(offer.queue, offer.shard_id, "lease_0000")
    assert refusal(farm.report(worker, unknown, done=[done])) == CommitRefusal.LEASE_ENDED


def test_recorder_refuses_an_unclaimed_offer(
    farm: FarmFixture, worker: WorkerRow, job_id: str
) -> None:
    offer = farm.offer(worker, job_id)
    done = farm.upload(offer, farm.track_ids(job_id)[0])
    assert refusal(farm.report(worker, offer, done=[done])) == CommitRefusal.LEASE_ENDED


def test_recorder_refuses_an_ended_lease(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = farm.upload(offer, first)
    expire(farm, offer)
    assert refusal(farm.report(worker, offer, done=[done])) == CommitRefusal.LEASE_ENDED
    assert refusal(farm.report(worker, offer, failed=[failure(first)])) == CommitRefusal.LEASE_ENDED
    assert farm.track(first).state == "pending"


def test_recorder_lets_the_first_commit_win(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str, first: int
) -> None:
    """A worker that returns after its lease ended is told that the track is done, and changes
    nothing."""
    late = farm.upload(offer, first)
    expire(farm, offer)
    other = farm.join("other")
    second = farm.lease(other, job_id, [first])
    farm.finish(other, second)
    assert [v.verdict for v in farm.report(worker, offer, done=[late])] == [
        ReportVerdict.ALREADY_DONE
    ]
    assert farm.rows(ArtifactRow)[0].lease_id == second.lease_id


def test_recorder_refuses_a_track_of_another_shard(farm: FarmFixture, worker: WorkerRow) -> None:
    job_id = farm.submit(briefs(2, word="drums"), catalog="other").job_id
    ids = farm.track_ids(job_id)
    mine, other = farm.lease(worker, job_id, ids[:1]), farm.lease(worker, job_id, ids[1:])
    done = farm.upload(other, ids[1])
    assert refusal(farm.report(worker, mine, done=[done])) == CommitRefusal.NOT_IN_SHARD
    unknown = failure(999_999)
    assert refusal(farm.report(worker, mine, failed=[unknown])) == CommitRefusal.NOT_IN_SHARD


def test_recorder_refuses_another_object(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str
) -> None:
    first, second, _ = farm.track_ids(job_id)
    farm.upload(offer, first)
    done = changed(farm.upload(offer, second), track_id=first)
    assert refusal(farm.report(worker, offer, done=[done])) == CommitRefusal.OTHER_OBJECT
    assert farm.track(first).state == "leased", "the honest report may still come"


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a\\b", "tracks/\n"])
def test_recorder_refuses_an_invalid_object_key(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int, key: str
) -> None:
    done = changed(farm.upload(offer, first), object_key=key)
    assert refusal(farm.report(worker, offer, done=[done])) == CommitRefusal.OTHER_OBJECT


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"size": 6}, "the object has 20000 bytes, the report says 6"),
        ({"md5": "0" * 32}, "the object's MD5 differs from the reported one"),
        (None, "no such object"),
    ],
)
def test_recorder_refuses_an_object_that_differs_from_the_report(
    farm: FarmFixture,
    worker: WorkerRow,
    offer: ShardOffer,
    first: int,
    lie: dict[str, object] | None,
    reason: str,
) -> None:
    """The track is tried again, and the mismatch does not count against it."""
    done = farm.upload(offer, first)
    if lie is None:
        del farm.objects.content[done.object_key]
    assert refusal(farm.report(worker, offer, done=[changed(done, **(lie or {}))])) == reason
    track = farm.track(first)
    assert (track.state, track.failures, track.error) == (
        "pending",
        0,
        f"object_mismatch: {reason}",
    )
    assert track.not_before == farm.clock() + 1.0
    assert farm.count(ArtifactRow) == 0


def test_recorder_refuses_a_cancelled_track(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str, first: int
) -> None:
    done = farm.upload(offer, first)
    farm.change(job_id, jobs.cancel)
    assert refusal(farm.report(worker, offer, done=[done])) == CommitRefusal.LEASE_ENDED


def test_recorder_refuses_a_track_cancelled_after_its_transfer(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str, first: int
) -> None:
    other = farm.submit(briefs(2)).job_id
    farm.change(job_id, jobs.pause)
    farm.change(other, jobs.cancel)
    done = farm.upload(offer, first)
    assert [a.state for a in farm.attempts(offer)] == ["cancelled", "cancelled", "open"]
    assert refusal(farm.report(worker, offer, done=[done])) == CommitRefusal.NOT_IN_SHARD
    assert farm.track(first).state == "cancelled"


def test_recorder_ends_the_lease_with_the_last_part(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str
) -> None:
    first, second, third = farm.track_ids(job_id)
    farm.report(worker, offer, done=[farm.upload(offer, first)])
    farm.report(worker, offer, failed=[failure(second)])
    assert farm.rows(LeaseRow)[0].state == "live"
    farm.report(worker, offer, done=[farm.upload(offer, third)])
    assert farm.rows(LeaseRow)[0].state == "ended"
    assert farm.states(job_id) == {"done": 2, "pending": 1}


def test_recorder_refuses_a_lost_worker(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = farm.upload(offer, first)
    farm.clock.advance(20)
    with farm.database.write() as session:
        workers.mark_silent_lost(session, silent_since=farm.clock() - 12, now=farm.clock())
    assert refusal(farm.report(worker, offer, done=[done])) == CommitRefusal.LEASE_ENDED
    assert farm.count(TrackRow, col(TrackRow.state) == "pending") == 3
