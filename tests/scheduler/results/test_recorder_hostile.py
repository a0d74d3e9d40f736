"""Dishonest workers: false results are refused, their objects are deleted, and the worker is soon
quarantined."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.scheduler.farm_fixture import MUSIC, FarmFixture, briefs, failure
from tests.scheduler.memory_objects import MemoryObjects
from trackfarm.protocol.worker import ReportVerdict, Timings, TrackDone
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import ArtifactRow, LeaseRow, WorkerRow
from trackfarm_scheduler.policy.states import BAD_WORKER_STRIKES
from trackfarm_scheduler.policy.validation import PlausibleBounds
from trackfarm_scheduler.results.object_check import ObjectChecker


@pytest.fixture
def worker(farm: FarmFixture) -> WorkerRow:
    new_worker = farm.join(price_per_hour=36.0)
    farm.heartbeat(new_worker)
    return new_worker


@pytest.fixture
def job_id(farm: FarmFixture) -> str:
    return farm.submit(briefs(5)).job_id


def lie(done: TrackDone, **values: Any) -> TrackDone:
    return done.model_copy(update=values)


def longer(done: TrackDone) -> TrackDone:
    return lie(done, measurements=done.measurements.model_copy(update={"seconds": 3_000.0}))


def test_recorder_reads_the_first_object_of_a_worker(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str
) -> None:
    """Size and MD5 are right: only reading the object reveals it."""
    first, second, *_ = farm.track_ids(job_id)
    done = farm.upload(offer, first)
    (verdict,) = farm.report(worker, offer, done=[lie(done, sha256="0" * 64)])
    assert (verdict.verdict, "SHA-256" in verdict.reason) == (ReportVerdict.REFUSED, True)
    assert done.object_key not in farm.objects.content, "it is deleted at once"
    assert farm.worker(worker.id).strikes == 1
    assert farm.track(first).state == "pending"
    assert farm.track(first).failures == 0, "the track is not to blame"
    (verdict,) = farm.report(worker, offer, done=[farm.upload(offer, second)])
    assert verdict.verdict is ReportVerdict.COMMITTED


def test_recorder_refuses_and_deletes_an_impossible_result(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str
) -> None:
    done = farm.upload(offer, farm.track_ids(job_id)[0])
    (verdict,) = farm.report(worker, offer, done=[longer(done)])
    assert (verdict.verdict, "were requested" in verdict.reason) == (ReportVerdict.REFUSED, True)
    assert farm.objects.content == {}
    assert farm.rows(ArtifactRow) == []


def test_recorder_quarantines_a_worker_after_three_false_claims(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str
) -> None:
    ids = farm.track_ids(job_id)
    lies = [longer(farm.upload(offer, i)) for i in ids[:BAD_WORKER_STRIKES]]
    farm.report(worker, offer, done=[*lies, farm.upload(offer, ids[3])])
    assert farm.worker(worker.id).state == "quarantined"
    assert farm.rows(LeaseRow)[0].state == "ended"
    assert farm.states(job_id) == {"pending": 4, "done": 1}, "the good result stays"


def test_recorder_reads_an_object_once_however_often_it_is_reported(
    farm: FarmFixture,
    worker: WorkerRow,
    offer: ShardOffer,
    job_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand entries of one report would otherwise be a thousand reads of the largest
    object."""
    false_report = lie(farm.upload(offer, farm.track_ids(job_id)[0]), sha256="0" * 64)
    opened: list[str] = []
    original_open = farm.objects.open

    def recording_open(key: str) -> AbstractContextManager[Iterator[bytes]]:
        opened.append(key)
        return original_open(key)

    monkeypatch.setattr(farm.objects, "open", recording_open)
    verdicts = farm.report(worker, offer, done=[false_report] * 1_000)
    assert opened == [false_report.object_key]
    assert {v.verdict for v in verdicts} == {ReportVerdict.REFUSED}
    assert farm.worker(worker.id).strikes == 1


def test_recorder_counts_a_foreign_object_as_a_false_claim(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str
) -> None:
    done = farm.upload(offer, farm.track_ids(job_id)[0])
    (verdict,) = farm.report(worker, offer, done=[lie(done, object_key="tracks/other")])
    assert verdict.verdict is ReportVerdict.REFUSED
    assert farm.worker(worker.id).strikes == 1
    (verdict,) = farm.report(worker, offer, done=[done])
    assert verdict.verdict is ReportVerdict.COMMITTED


def test_recorder_blames_no_worker_for_a_missing_object(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, job_id: str
) -> None:
    """A store that lost its disk must not quarantine every worker."""
    reports = [farm.upload(offer, i) for i in farm.track_ids(job_id)]
    farm.objects.content.clear()
    farm.report(worker, offer, done=reports)
    assert farm.worker(worker.id).strikes == 0
    assert farm.states(job_id) == {"pending": 5}


def test_recorder_refuses_an_object_that_is_too_large(database: Database) -> None:
    farm = FarmFixture(database, PlausibleBounds(most_bytes=len(MUSIC) - 1, slack=1e9))
    worker, job_id = farm.join(), farm.submit(briefs(1)).job_id
    offer = farm.lease(worker, job_id)
    (verdict,) = farm.report(worker, offer, done=[farm.upload(offer, farm.track_ids(job_id)[0])])
    assert (verdict.verdict, "too large" in verdict.reason) == (ReportVerdict.REFUSED, True)
    assert farm.objects.content == {}


def test_recorder_clips_impossible_engine_seconds(database: Database) -> None:
    """A lease of ten seconds limits the accepted seconds, in however many reports they are
    claimed."""
    farm = FarmFixture(database, PlausibleBounds(engine_share=1.2))
    worker = farm.join(price_per_hour=360.0)
    job_id = farm.submit(briefs(4)).job_id
    offer = farm.lease(worker, job_id)
    farm.clock.advance(10)
    huge = Timings(service=86_400, denoise=86_400)
    for track_id in farm.track_ids(job_id)[:3]:
        done = lie(farm.upload(offer, track_id), timings=huge)
        (verdict,) = farm.report(worker, offer, done=[done])
        assert verdict.verdict is ReportVerdict.COMMITTED, "the music is good"
    last = failure(farm.track_ids(job_id)[3], service=86_400)
    farm.report(worker, offer, failed=[last])
    assert farm.job(job_id).spent == pytest.approx(1.3)
    assert farm.rows(LeaseRow)[0].engine_seconds == pytest.approx(13.0)


def test_checker_reads_a_share_of_all_objects() -> None:
    objects = MemoryObjects()
    chances = iter([0.5, 0.01])
    inspector = ObjectChecker(objects, PlausibleBounds(digest_share=0.02), lambda: next(chances))
    honest = _done(objects, "tracks/1")
    false = lie(_done(objects, "tracks/2"), sha256="0" * 64)
    assert inspector.check("worker_1", honest).mismatch is None, "the first object is read"
    assert inspector.check("worker_1", false).mismatch is None, "not in the random share"
    seen = inspector.check("worker_1", false)
    assert seen.mismatch is not None
    assert seen.mismatch.is_false_claim


def _done(objects: MemoryObjects, key: str) -> TrackDone:
    objects.content[key] = MUSIC
    return TrackDone.model_validate(
        {
            "track_id": 1,
            "object_key": key,
            "size": len(MUSIC),
            "md5": hashlib.md5(MUSIC, usedforsecurity=False).hexdigest(),
            "sha256": hashlib.sha256(MUSIC).hexdigest(),
            "seed": 1,
            "measurements": {
                "seconds": 10,
                "sample_rate": 48_000,
                "channels": 2,
                "peak_dbfs": -1,
                "rms_dbfs": -18,
                "clipped": 0,
                "dc": 0,
            },
            "timings": {},
        }
    )
