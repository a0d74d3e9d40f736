"""Views: rows as the models of the operator API."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.operator import JobInfo, WorkerState
from trackfarm_scheduler import views
from trackfarm_scheduler.db import workers
from trackfarm_scheduler.db.tables import JobRow


def job_view(farm: FarmFixture, job_id: str) -> JobInfo:
    with farm.database.read() as session:
        live = workers.list_live(session)
        return views.job_view(session, session.get_one(JobRow, job_id), live, farm.clock())


def test_job_view_says_that_no_worker_serves_the_model_set(sqlite_farm: FarmFixture) -> None:
    sqlite_farm.join(model_set="acestep-v15-turbo")
    view = job_view(sqlite_farm, sqlite_farm.submit(briefs(2)).job_id)
    assert view.notice == "no live worker serves model set tiny"
    assert (view.eligible_workers, view.eta_seconds, view.tracks_per_hour) == (0, None, None)


def test_job_view_estimates_the_end_by_cost_and_then_by_the_measured_rate(
    sqlite_farm: FarmFixture,
) -> None:
    farm = sqlite_farm
    worker = farm.join()
    job_id = farm.submit(briefs(6)).job_id
    first = job_view(farm, job_id)
    assert first.tracks_per_hour is None
    assert first.eta_seconds is not None
    assert first.eta_seconds > 0
    offer = farm.lease(worker, job_id, farm.track_ids(job_id)[:2])
    farm.clock.advance(100)
    farm.finish(worker, offer)
    view = job_view(farm, job_id)
    assert view.tracks_per_hour == pytest.approx(2 * 3600 / 100)
    assert view.eta_seconds == pytest.approx(4 * 100 / 2)
    assert view.tracks.done == 2


def test_job_view_says_by_how_much_the_deadline_will_be_missed(sqlite_farm: FarmFixture) -> None:
    farm = sqlite_farm
    worker = farm.join()
    deadline = views.at(farm.clock() + 160)
    job_id = farm.submit(briefs(4), deadline=deadline).job_id
    offer = farm.lease(worker, job_id, farm.track_ids(job_id)[:1])
    farm.clock.advance(100)
    farm.finish(worker, offer)
    assert job_view(farm, job_id).notice == (
        "the deadline will be missed by about 4 min at this speed"
    )


def test_worker_view_counts_live_shards_and_silence(sqlite_farm: FarmFixture) -> None:
    farm = sqlite_farm
    worker, idle = farm.join("busy"), farm.join("idle")
    farm.lease(worker, farm.submit(briefs(2)).job_id)
    farm.clock.advance(3)
    with farm.database.read() as session:
        rows = [farm.worker(worker.id), farm.worker(idle.id)]
        busy_view, idle_view = views.worker_views(session, rows, farm.clock())
    assert (busy_view.shards, idle_view.shards) == (1, 0)
    assert idle_view.state is WorkerState.JOINING
    assert idle_view.seconds_since_heartbeat == pytest.approx(3, abs=0.01)
