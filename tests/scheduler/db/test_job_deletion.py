"""Deletion of removed jobs: their own tracks go with their objects' keys, shared tracks stay."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db import job_deletion, jobs
from trackfarm_scheduler.db.tables import (
    ArtifactRow,
    AttemptRow,
    JobRow,
    JobTrackRow,
    LeaseRow,
    ShardRow,
    TrackRow,
)
from trackfarm_scheduler.db.tables_catalog import TrackTagRow


@pytest.fixture
def removed(farm: FarmFixture) -> str:
    """A removed job of three done tracks."""
    worker = farm.join()
    job_id = farm.submit(briefs(3, tags={"mood": "calm"})).job_id
    farm.finish(worker, farm.lease(worker, job_id))
    assert farm.complete(job_id) == "done"
    farm.change(job_id, jobs.remove)
    return job_id


def delete_tracks(farm: FarmFixture, job_id: str, limit: int) -> list[str] | None:
    with farm.database.write() as session:
        return job_deletion.delete_tracks(session, job_id, limit)


def delete_job(farm: FarmFixture, job_id: str) -> None:
    with farm.database.write() as session:
        job_deletion.delete_job(session, job_id, farm.clock())


def test_list_removed_waits_until_no_object_can_be_written(farm: FarmFixture, removed: str) -> None:
    ended = farm.job(removed).finished_at
    assert ended is not None
    with farm.database.read() as session:
        assert job_deletion.list_removed(session, written_before=ended) == []
        assert job_deletion.list_removed(session, written_before=ended + 1) == [removed]


def test_delete_tracks_goes_in_batches_and_returns_the_objects(
    farm: FarmFixture, removed: str
) -> None:
    keys = {artifact.object_key for artifact in farm.artifacts()}
    first, second = delete_tracks(farm, removed, 2), delete_tracks(farm, removed, 2)
    assert first is not None
    assert second is not None
    assert (len(first), len(second), {*first, *second}) == (2, 1, keys)
    assert delete_tracks(farm, removed, 2) is None
    tables = (TrackRow, JobTrackRow, ArtifactRow, AttemptRow)
    assert [farm.count(table) for table in tables] == [0, 0, 0, 0]
    delete_job(farm, removed)


def test_delete_job_leaves_no_row_of_it(farm: FarmFixture, removed: str) -> None:
    delete_tracks(farm, removed, 10)
    delete_job(farm, removed)
    tables = (JobRow, LeaseRow, ShardRow, TrackTagRow)
    assert [farm.count(table) for table in tables] == [0, 0, 0, 0]
    assert [event.job_id for event in farm.events("job_removed")] == [removed]


def test_delete_tracks_leaves_shared_ones_to_the_other_job(farm: FarmFixture, removed: str) -> None:
    other = farm.submit(briefs(4, tags={"mood": "calm"})[2:]).job_id
    shared = farm.track_ids(removed)[2]
    assert farm.track_ids(other)[0] == shared
    keys = delete_tracks(farm, removed, 10)
    assert keys is not None
    (kept,) = farm.artifacts()
    assert (kept.track_id, len(keys), kept.object_key in keys) == (shared, 2, False)
    assert farm.owned_tracks(other, TrackState.DONE) == [shared]
    assert [link.shared for link in farm.rows(JobTrackRow)] == [False, False]
    delete_job(farm, removed)
