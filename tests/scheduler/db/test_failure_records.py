"""Failure records: the evidence against tracks and workers."""

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.worker import FailureKind, TrackFailed
from trackfarm_scheduler.db import failure_records


def test_count_failing_workers_without_infrastructure_faults(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(1)).job_id
    (track_id,) = farm.track_ids(job_id)
    kinds = [FailureKind.UPLOAD_FAILED, FailureKind.DISK_FULL, FailureKind.SILENT]
    for number, kind in enumerate(kinds):
        worker = farm.join(str(number))
        offer = farm.lease(worker, job_id)
        failed = TrackFailed(track_id=track_id, kind=kind, message="")
        farm.report(worker, offer, failed=[failed])
    track = farm.track(track_id)
    assert (track.state, track.failures) == ("pending", 1)
    with farm.database.read() as session:
        assert failure_records.count_failing_workers(session, track_id) == 1
