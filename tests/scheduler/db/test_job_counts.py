"""Track counts of two jobs that share tracks, and of the farm."""

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm_scheduler.db import job_counts


def test_count_requested_includes_shared_tracks(farm: FarmFixture) -> None:
    first = farm.submit(briefs(4)).job_id
    second = farm.submit(briefs(5)[1:]).job_id
    worker = farm.join()
    farm.finish(worker, farm.lease(worker, first, farm.track_ids(first)[:2]))
    with farm.database.read() as session:
        counts, seconds = job_counts.count_requested(session, second)
        own = job_counts.count_own(session, second)
        everything = job_counts.count_all(session)
    assert (counts.done, counts.pending, seconds) == (1, 3, 10.0)
    assert (own.total, own.pending) == (1, 1)
    assert (everything.done, everything.pending) == (2, 3)
