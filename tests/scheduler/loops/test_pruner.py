"""Pruner: removed jobs, unused uploads and old events are deleted."""

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
    JobRow,
    JobTrackRow,
    LeaseRow,
    ShardRow,
    TrackRow,
)
from trackfarm_scheduler.db.tables_catalog import JobUploadRow, UploadRow
from trackfarm_scheduler.db.tables_history import EventRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.loops.pruner import Pruner
from trackfarm_scheduler.objects.keys import upload_key
from trackfarm_scheduler.policy.retention import RetentionSeconds

DAY = 86_400.0
RETENTION = RetentionSeconds(uploads=DAY, events=90 * DAY, urls=URL_SECONDS, calls=DAY)
SHA256 = "ab" * 32
KEY = upload_key("operator", SHA256)


@pytest.fixture
def pruner(farm: FarmFixture) -> Pruner:
    return new_pruner(farm, farm.leadership)


def new_pruner(farm: FarmFixture, leadership: Leadership) -> Pruner:
    return Pruner(
        database=farm.database,
        objects=farm.objects,
        leadership=leadership,
        clock=farm.clock,
        retention=RETENTION,
    )


def finished_job(farm: FarmFixture, wanted: list[Brief], catalog: str = "spa") -> str:
    job_id = farm.submit(wanted, catalog=catalog).job_id
    if farm.owned_tracks(job_id, TrackState.PENDING):
        worker = farm.join()
        farm.finish(worker, farm.lease(worker, job_id))
    assert farm.complete(job_id) == "done"
    return job_id


def test_pruner_deletes_files_of_a_removed_job_after_its_upload_urls_expired(
    farm: FarmFixture, pruner: Pruner
) -> None:
    job_id = finished_job(farm, briefs(3))
    farm.change(job_id, jobs.remove)
    with farm.database.read() as session:
        assert jobs.find(session, job_id) == []
        assert jobs.list_newest(session, 9) == []
    pruner.tick()
    assert len(farm.objects.content) == 3, "an upload URL may still be valid"
    farm.clock.advance(URL_SECONDS + 1)
    pruner.tick()
    assert farm.objects.content == {}
    for table in (JobRow, TrackRow, JobTrackRow, ArtifactRow, AttemptRow, LeaseRow, ShardRow):
        assert farm.count(table) == 0, table
    assert [e.job_id for e in farm.events("job_removed")] == [job_id]
    pruner.tick()


def test_pruner_blocks_no_other_write_while_the_store_deletes(
    queued_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm = FarmFixture(queued_database)
    pruner = new_pruner(farm, farm.leadership)
    job_id = finished_job(farm, briefs(3))
    farm.change(job_id, jobs.remove)
    farm.objects.content[KEY] = b"music"
    with farm.database.write() as session:
        uploads.touch(session, KEY, farm.clock())
    farm.clock.advance(DAY + 1)
    remove = farm.objects.remove
    with ThreadPoolExecutor(1) as pool:

        def remove_while_others_write(keys: Iterable[str]) -> None:
            pool.submit(farm.join).result(timeout=5)
            remove(keys)

        monkeypatch.setattr(farm.objects, "remove", remove_while_others_write)
        pruner.tick()
    assert farm.objects.content == {}


def test_pruner_keeps_tracks_that_another_job_shares(farm: FarmFixture, pruner: Pruner) -> None:
    first = finished_job(farm, briefs(3))
    second = finished_job(farm, briefs(2))
    shared = farm.track_ids(second)
    farm.change(first, jobs.remove)
    farm.clock.advance(URL_SECONDS + 1)
    pruner.tick()
    assert [job.id for job in farm.rows(JobRow)] == [second]
    assert farm.track_ids(second) == shared
    assert farm.states(second) == {"done": 2}
    assert {t.job_id for t in farm.rows(TrackRow)} == {second}
    assert len(farm.objects.content) == 2


def test_pruner_keeps_tracks_of_a_catalog_submitted_again(
    farm: FarmFixture, pruner: Pruner
) -> None:
    first = finished_job(farm, briefs(2))
    farm.change(first, jobs.remove)
    sealed = farm.submit(briefs(2))
    assert (sealed.job_id != first, sealed.already_submitted) == (True, False)
    farm.clock.advance(URL_SECONDS + 1)
    pruner.tick()
    assert farm.states(sealed.job_id) == {"done": 2}, (
        "the new job wanted the tracks before they were deleted"
    )
    assert len(farm.objects.content) == 2


def test_remove_refuses_a_job_that_has_not_ended(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(1)).job_id
    with pytest.raises(NotAllowed, match="can be removed"):
        farm.change(job_id, jobs.remove)


def covers(number: int) -> list[Brief]:
    return briefs(number, task_type="cover", src_audio=f"upload:{SHA256}")


def test_pruner_deletes_an_upload_a_day_after_its_last_job_ended(
    farm: FarmFixture, pruner: Pruner
) -> None:
    farm.objects.content[KEY] = b"music"
    first = farm.submit(covers(1)).job_id
    second = farm.submit(covers(2), catalog="other").job_id
    assert farm.count(JobUploadRow) == 2
    farm.clock.advance(10 * DAY)
    farm.change(first, jobs.cancel)
    farm.clock.advance(10 * DAY)
    pruner.tick()
    assert KEY in farm.objects.content, "the second job may still need it"
    farm.change(second, jobs.cancel)
    farm.clock.advance(DAY - 1)
    pruner.tick()
    assert KEY in farm.objects.content
    farm.clock.advance(2)
    pruner.tick()
    assert KEY not in farm.objects.content
    assert (farm.count(UploadRow), farm.count(JobUploadRow)) == (0, 0)


def test_pruner_deletes_an_upload_without_a_job_a_day_later(
    farm: FarmFixture, pruner: Pruner
) -> None:
    farm.objects.content[KEY] = b"music"
    with farm.database.write() as session:
        uploads.touch(session, KEY, farm.clock())
    farm.clock.advance(DAY / 2)
    with farm.database.write() as session:
        uploads.touch(session, KEY, farm.clock())
    farm.clock.advance(DAY - 1)
    pruner.tick()
    assert KEY in farm.objects.content, "it was uploaded again half a day later"
    farm.clock.advance(2)
    pruner.tick()
    assert KEY not in farm.objects.content


def test_pruner_deletes_events_after_ninety_days(farm: FarmFixture, pruner: Pruner) -> None:
    farm.submit(briefs(1))
    old = farm.count(EventRow)
    farm.clock.advance(60 * DAY)
    job_id = farm.submit(briefs(1, word="drums"), catalog="new").job_id
    farm.clock.advance(31 * DAY)
    assert old
    pruner.tick()
    assert {e.job_id for e in farm.rows(EventRow)} == {job_id}
    assert farm.count(EventRow, col(EventRow.at) < farm.clock() - 90 * DAY) == 0


def test_pruner_deletes_only_as_the_leader(farm: FarmFixture) -> None:
    job_id = finished_job(farm, briefs(1))
    farm.change(job_id, jobs.remove)
    farm.clock.advance(URL_SECONDS + 1)
    other = Leadership(database=farm.database, holder="other", lease_seconds=60)
    other.tick()
    new_pruner(farm, other).tick()
    assert farm.count(JobRow) == 1
