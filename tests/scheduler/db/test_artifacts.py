"""Ownership of stored artifacts, on both databases."""

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm_scheduler.db.artifacts import is_requested_by


def test_is_requested_by_the_owner_of_the_job_only(farm: FarmFixture) -> None:
    worker = farm.join()
    job_id = farm.submit(briefs(1)).job_id
    farm.finish(worker, farm.lease(worker, job_id))
    (artifact,) = farm.artifacts()
    owner = farm.job(job_id).owner
    with farm.database.read() as session:
        assert is_requested_by(session, artifact.object_key, owner)
        assert not is_requested_by(session, artifact.object_key, "stranger")
        assert not is_requested_by(session, f"{artifact.object_key}x", owner)
