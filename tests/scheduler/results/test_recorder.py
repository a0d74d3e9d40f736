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


def expire(scene: FarmFixture, offer: ShardOffer) -> None:
    with scene.database.write() as session:
        lease = leases.get(session, offer.lease_id)
        assert lease is not None
        leases.end(session, lease, scene.clock(), reason="expired", left_open=AttemptState.EXPIRED)


def test_a_result_is_committed_with_all_that_is_known(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = scene.upload(offer, first)
    scene.clock.advance(1)
    assert [v.verdict for v in scene.report(worker, offer, done=[done])] == [
        ReportVerdict.COMMITTED
    ]
    (artifact,) = scene.rows(ArtifactRow)
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
        scene.clock(),
    )
    track = scene.track(first)
    assert (track.state, track.ended_at, track.error) == ("done", scene.clock(), "")
    credited = scene.rows(WorkerRow)[0]
    assert (credited.tracks_done, credited.tracks_failed) == (1, 0)
    assert len(scene.events("track_done")) == 1


def test_the_batches_of_committed_tracks_are_counted(
    scene: FarmFixture, job_id: str, worker: WorkerRow, offer: ShardOffer
) -> None:
    share = BatchShare(tracks=3, padding=0.2, passes=8 / 3)
    reports = [changed(scene.upload(offer, i), batch=share) for i in scene.ids(job_id)]
    scene.report(worker, offer, done=reports)
    with scene.database.read() as session:
        totals = {name: value for name, _, value in events.totals(session)}
    assert totals["batches"] == pytest.approx(1)
    assert totals["model_passes"] == pytest.approx(8)
    assert totals["padding_seconds"] == pytest.approx(3 * 10 * 0.25)


def test_a_replayed_report_changes_nothing(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = scene.upload(offer, first)
    scene.report(worker, offer, done=[done])
    for _ in range(2):
        verdicts = scene.report(worker, offer, done=[done], failed=[failure(first)])
        assert [v.verdict for v in verdicts] == [ReportVerdict.ALREADY_DONE, ReportVerdict.REFUSED]
    assert scene.number(ArtifactRow) == 1
    assert scene.rows(WorkerRow)[0].tracks_done == 1


def test_the_same_track_twice_in_one_report_is_committed_and_credited_once(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = scene.upload(offer, first)
    verdicts = scene.report(worker, offer, done=[done, done], failed=[failure(first)] * 2)
    assert [v.verdict for v in verdicts] == [
        ReportVerdict.COMMITTED,
        ReportVerdict.ALREADY_DONE,
        ReportVerdict.REFUSED,
        ReportVerdict.REFUSED,
    ]
    credited = scene.rows(WorkerRow)[0]
    assert (credited.tracks_done, credited.tracks_failed) == (1, 0)


def test_a_failure_twice_in_one_report_counts_once(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    verdicts = scene.report(worker, offer, failed=[failure(first)] * 2)
    assert [v.verdict for v in verdicts] == [ReportVerdict.NOTED, ReportVerdict.REFUSED]
    assert scene.track(first).failures == 1
    assert scene.rows(WorkerRow)[0].tracks_failed == 1


def test_a_false_result_does_not_pass_beside_a_true_one(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    true = scene.upload(offer, first)
    verdicts = scene.report(worker, offer, done=[changed(true, size=1), true])
    assert [v.verdict for v in verdicts] == [ReportVerdict.REFUSED, ReportVerdict.REFUSED]
    assert scene.number(ArtifactRow) == 0


def test_another_workers_lease_is_refused(
    scene: FarmFixture, offer: ShardOffer, first: int
) -> None:
    thief = scene.join("thief")
    done = scene.upload(offer, first)
    assert refusal(scene.report(thief, offer, done=[done])) == CommitRefusal.LEASE_ENDED
    assert refusal(scene.report(thief, offer, failed=[failure(first)])) == CommitRefusal.LEASE_ENDED
    assert scene.track(first).state == "leased"


def test_an_unknown_lease_is_refused(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = scene.upload(offer, first)
    unknown = ShardOffer(offer.queue, offer.shard_id, "lease_0000")
    assert refusal(scene.report(worker, unknown, done=[done])) == CommitRefusal.LEASE_ENDED


def test_an_unclaimed_offer_is_refused(scene: FarmFixture, worker: WorkerRow, job_id: str) -> None:
    offer = scene.offer(worker, job_id)
    done = scene.upload(offer, scene.ids(job_id)[0])
    assert refusal(scene.report(worker, offer, done=[done])) == CommitRefusal.LEASE_ENDED


def test_an_ended_lease_is_refused(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = scene.upload(offer, first)
    expire(scene, offer)
    assert refusal(scene.report(worker, offer, done=[done])) == CommitRefusal.LEASE_ENDED
    assert (
        refusal(scene.report(worker, offer, failed=[failure(first)])) == CommitRefusal.LEASE_ENDED
    )
    assert scene.track(first).state == "pending"


def test_the_first_commit_wins(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str, first: int
) -> None:
    """A worker that returns after its lease ended is told that the track is done, and changes
    nothing."""
    late = scene.upload(offer, first)
    expire(scene, offer)
    other = scene.join("other")
    second = scene.claimed(other, job_id, [first])
    scene.finish(other, second)
    assert [v.verdict for v in scene.report(worker, offer, done=[late])] == [
        ReportVerdict.ALREADY_DONE
    ]
    assert scene.rows(ArtifactRow)[0].lease_id == second.lease_id


def test_a_track_of_another_shard_is_refused(scene: FarmFixture, worker: WorkerRow) -> None:
    job_id = scene.submit(briefs(2, word="drums"), catalog="other").job_id
    ids = scene.ids(job_id)
    mine, other = scene.claimed(worker, job_id, ids[:1]), scene.claimed(worker, job_id, ids[1:])
    done = scene.upload(other, ids[1])
    assert refusal(scene.report(worker, mine, done=[done])) == CommitRefusal.NOT_IN_SHARD
    unknown = failure(999_999)
    assert refusal(scene.report(worker, mine, failed=[unknown])) == CommitRefusal.NOT_IN_SHARD


def test_another_object_is_refused(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str
) -> None:
    first, second, _ = scene.ids(job_id)
    scene.upload(offer, first)
    done = changed(scene.upload(offer, second), track_id=first)
    assert refusal(scene.report(worker, offer, done=[done])) == CommitRefusal.OTHER_OBJECT
    assert scene.track(first).state == "leased", "the honest report may still come"


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a\\b", "tracks/\n"])
def test_a_key_that_is_none_is_refused_like_any_other(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int, key: str
) -> None:
    done = changed(scene.upload(offer, first), object_key=key)
    assert refusal(scene.report(worker, offer, done=[done])) == CommitRefusal.OTHER_OBJECT


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"size": 6}, "the object has 20000 bytes, the report says 6"),
        ({"md5": "0" * 32}, "the object's MD5 differs from the reported one"),
        (None, "no such object"),
    ],
)
def test_the_object_must_be_what_was_reported(
    scene: FarmFixture,
    worker: WorkerRow,
    offer: ShardOffer,
    first: int,
    lie: dict[str, object] | None,
    reason: str,
) -> None:
    """The track is tried again, and the mismatch does not count against it."""
    done = scene.upload(offer, first)
    if lie is None:
        del scene.objects.content[done.object_key]
    assert refusal(scene.report(worker, offer, done=[changed(done, **(lie or {}))])) == reason
    track = scene.track(first)
    assert (track.state, track.failures, track.error) == (
        "pending",
        0,
        f"object_mismatch: {reason}",
    )
    assert track.not_before == scene.clock() + 1.0
    assert scene.number(ArtifactRow) == 0


def test_a_cancelled_track_is_refused(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str, first: int
) -> None:
    done = scene.upload(offer, first)
    scene.change(job_id, jobs.cancel)
    assert refusal(scene.report(worker, offer, done=[done])) == CommitRefusal.LEASE_ENDED


def test_a_track_that_changed_hands_and_was_cancelled_is_refused(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str, first: int
) -> None:
    other = scene.submit(briefs(2)).job_id
    scene.change(job_id, jobs.pause)
    scene.change(other, jobs.cancel)
    done = scene.upload(offer, first)
    assert [a.state for a in scene.attempts(offer)] == ["cancelled", "cancelled", "open"]
    assert refusal(scene.report(worker, offer, done=[done])) == CommitRefusal.NOT_IN_SHARD
    assert scene.track(first).state == "cancelled"


def test_a_report_in_parts_ends_the_lease_with_the_last(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str
) -> None:
    first, second, third = scene.ids(job_id)
    scene.report(worker, offer, done=[scene.upload(offer, first)])
    scene.report(worker, offer, failed=[failure(second)])
    assert scene.rows(LeaseRow)[0].state == "live"
    scene.report(worker, offer, done=[scene.upload(offer, third)])
    assert scene.rows(LeaseRow)[0].state == "ended"
    assert scene.states(job_id) == {"done": 2, "pending": 1}


def test_a_lost_worker_may_not_commit(
    scene: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    done = scene.upload(offer, first)
    scene.clock.advance(20)
    with scene.database.write() as session:
        workers.lose_silent(session, silent_since=scene.clock() - 12, now=scene.clock())
    assert refusal(scene.report(worker, offer, done=[done])) == CommitRefusal.LEASE_ENDED
    assert scene.number(TrackRow, col(TrackRow.state) == "pending") == 3
