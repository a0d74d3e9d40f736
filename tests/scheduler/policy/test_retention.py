"""Retention: removed jobs, unused uploads and old events are deleted."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import URL_SECONDS, FarmFixture, briefs
from trackfarm.catalog import Brief
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db import jobs, uploads
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.jobs import NotAllowed
from trackfarm_scheduler.db.tables import (
    ArtifactRow,
    AttemptRow,
    EventRow,
    JobRow,
    JobTrackRow,
    LeaseRow,
    ShardRow,
    TrackRow,
)
from trackfarm_scheduler.db.tables_access import JobUploadRow, UploadRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.loops.pruner import Pruner
from trackfarm_scheduler.objects.keys import upload_key
from trackfarm_scheduler.policy.retention import RetentionDays, cutoffs

DAY = 86_400.0
KEEP = RetentionDays(uploads=DAY, events=90 * DAY, urls=URL_SECONDS, calls=DAY)
SHA256 = "ab" * 32
KEY = upload_key("operator", SHA256)


@pytest.fixture
def retention(scene: FarmFixture) -> Pruner:
    return keeping(scene, scene.leadership)


def keeping(scene: FarmFixture, leadership: Leadership) -> Pruner:
    return Pruner(
        database=scene.database,
        objects=scene.objects,
        leadership=leadership,
        clock=scene.clock,
        keep=KEEP,
    )


def made(scene: FarmFixture, wanted: list[Brief], catalog: str = "spa") -> str:
    job_id = scene.submit(wanted, catalog=catalog).job_id
    if scene.made_by(job_id, TrackState.PENDING):
        worker = scene.join()
        scene.finish(worker, scene.claimed(worker, job_id))
    assert scene.settled(job_id) == "done"
    return job_id


def test_what_is_due_follows_from_the_clock() -> None:
    due = cutoffs(RetentionDays(uploads=10, events=100, urls=5, calls=50), now=1_000)
    assert (due.uploads, due.events, due.removals, due.calls) == (990, 900, 995, 950)


def test_a_removed_job_is_gone_at_once_and_its_files_when_nobody_can_write_them(
    scene: FarmFixture, retention: Pruner
) -> None:
    job_id = made(scene, briefs(3))
    scene.change(job_id, jobs.remove)
    with scene.database.read() as session:
        assert jobs.find(session, job_id) == []
        assert jobs.newest(session, 9) == []
    retention.tick()
    assert len(scene.objects.content) == 3, "an upload URL may still be valid"
    scene.clock.advance(URL_SECONDS + 1)
    retention.tick()
    assert scene.objects.content == {}
    for table in (JobRow, TrackRow, JobTrackRow, ArtifactRow, AttemptRow, LeaseRow, ShardRow):
        assert scene.number(table) == 0, table
    assert [e.job_id for e in scene.events("job_removed")] == [job_id]
    retention.tick()


def test_nobody_waits_for_a_store_that_is_slow_to_remove(
    queued: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = FarmFixture(queued)
    retention = keeping(scene, scene.leadership)
    job_id = made(scene, briefs(3))
    scene.change(job_id, jobs.remove)
    scene.objects.content[KEY] = b"music"
    with scene.database.write() as session:
        uploads.touch(session, KEY, scene.clock())
    scene.clock.advance(DAY + 1)
    remove = scene.objects.remove
    with ThreadPoolExecutor(1) as pool:

        def remove_while_others_write(keys: Iterable[str]) -> None:
            pool.submit(scene.join).result(timeout=5)
            remove(keys)

        monkeypatch.setattr(scene.objects, "remove", remove_while_others_write)
        retention.tick()
    assert scene.objects.content == {}


def test_what_another_job_shares_stays_and_is_that_jobs(
    scene: FarmFixture, retention: Pruner
) -> None:
    first = made(scene, briefs(3))
    second = made(scene, briefs(2))
    shared = scene.ids(second)
    scene.change(first, jobs.remove)
    scene.clock.advance(URL_SECONDS + 1)
    retention.tick()
    assert [job.id for job in scene.rows(JobRow)] == [second]
    assert scene.ids(second) == shared
    assert scene.states(second) == {"done": 2}
    assert {t.job_id for t in scene.rows(TrackRow)} == {second}
    assert len(scene.objects.content) == 2


def test_the_same_catalog_after_a_removal_is_a_new_job(
    scene: FarmFixture, retention: Pruner
) -> None:
    first = made(scene, briefs(2))
    scene.change(first, jobs.remove)
    sealed = scene.submit(briefs(2))
    assert (sealed.job_id != first, sealed.already_submitted) == (True, False)
    scene.clock.advance(URL_SECONDS + 1)
    retention.tick()
    assert scene.states(sealed.job_id) == {"done": 2}, (
        "the new job wanted the tracks before they were deleted"
    )
    assert len(scene.objects.content) == 2


def test_only_what_has_ended_can_be_removed(scene: FarmFixture) -> None:
    job_id = scene.submit(briefs(1)).job_id
    with pytest.raises(NotAllowed, match="can be removed"):
        scene.change(job_id, jobs.remove)


def covers(number: int) -> list[Brief]:
    return briefs(number, task_type="cover", src_audio=f"upload:{SHA256}")


def test_an_upload_goes_a_day_after_its_last_job_ended(
    scene: FarmFixture, retention: Pruner
) -> None:
    scene.objects.content[KEY] = b"music"
    first = scene.submit(covers(1)).job_id
    second = scene.submit(covers(2), catalog="other").job_id
    assert scene.number(JobUploadRow) == 2
    scene.clock.advance(10 * DAY)
    scene.change(first, jobs.cancel)
    scene.clock.advance(10 * DAY)
    retention.tick()
    assert KEY in scene.objects.content, "the second job may still need it"
    scene.change(second, jobs.cancel)
    scene.clock.advance(DAY - 1)
    retention.tick()
    assert KEY in scene.objects.content
    scene.clock.advance(2)
    retention.tick()
    assert KEY not in scene.objects.content
    assert (scene.number(UploadRow), scene.number(JobUploadRow)) == (0, 0)


def test_an_upload_that_no_job_ever_used_goes_too(scene: FarmFixture, retention: Pruner) -> None:
    scene.objects.content[KEY] = b"music"
    with scene.database.write() as session:
        uploads.touch(session, KEY, scene.clock())
    scene.clock.advance(DAY / 2)
    with scene.database.write() as session:
        uploads.touch(session, KEY, scene.clock())
    scene.clock.advance(DAY - 1)
    retention.tick()
    assert KEY in scene.objects.content, "it was uploaded again half a day later"
    scene.clock.advance(2)
    retention.tick()
    assert KEY not in scene.objects.content


def test_events_go_after_ninety_days(scene: FarmFixture, retention: Pruner) -> None:
    scene.submit(briefs(1))
    old = scene.number(EventRow)
    scene.clock.advance(60 * DAY)
    job_id = scene.submit(briefs(1, word="drums"), catalog="new").job_id
    scene.clock.advance(31 * DAY)
    assert old
    retention.tick()
    assert {e.job_id for e in scene.rows(EventRow)} == {job_id}
    assert scene.number(EventRow, col(EventRow.at) < scene.clock() - 90 * DAY) == 0


def test_only_the_leader_removes(scene: FarmFixture) -> None:
    job_id = made(scene, briefs(1))
    scene.change(job_id, jobs.remove)
    scene.clock.advance(URL_SECONDS + 1)
    other = Leadership(database=scene.database, holder="other", term=60)
    other.tick()
    keeping(scene, other).tick()
    assert scene.number(JobRow) == 1
