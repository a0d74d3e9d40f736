"""Job plan, stored at submission to be compared with the actual run."""

from datetime import UTC, datetime

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.planning import Plan, load_prices
from trackfarm.planning.models import Chance
from trackfarm_scheduler import job_plan
from trackfarm_scheduler.db import speeds
from trackfarm_scheduler.db.tables import JobRow

CARD = "NVIDIA GeForce RTX 4090"


def plan_of(farm: FarmFixture, job_id: str) -> Plan | None:
    with farm.database.read() as session:
        return job_plan.plan_of(session, session.get_one(JobRow, job_id), load_prices({}))


def test_plan_is_for_pending_tracks_on_live_workers(sqlite_farm: FarmFixture) -> None:
    farm = sqlite_farm
    for price in (0.0, 1.0):
        farm.join(price_per_hour=price)
    farm.join("other kind", model_set="acestep-v15-turbo")
    job_id = farm.submit(briefs(6, duration=60)).job_id
    worker = farm.join()
    farm.finish(worker, farm.lease(worker, job_id, farm.track_ids(job_id)[:2]))
    farm.lease(worker, job_id, farm.track_ids(job_id)[2:3])
    plan = plan_of(farm, job_id)
    assert plan is not None
    assert plan.tracks == 3, "neither done nor running tracks"
    assert sorted((g.count, g.price, g.boot_hours) for g in plan.groups) == [(1, 1, 0), (2, 0, 0)]
    with farm.database.read() as session:
        speed_model = speeds.load_model(session, "cpu", model_set("tiny"))
    track_seconds = speed_model.predict(TrackShape(60, model_set("tiny").default_steps, False)).mean
    assert plan.eta_seconds is not None
    assert plan.eta_seconds.expected >= 3 * track_seconds / 3


def test_plan_is_missing_without_pending_tracks(sqlite_farm: FarmFixture) -> None:
    worker = sqlite_farm.join()
    job_id = sqlite_farm.submit(briefs(2)).job_id
    sqlite_farm.finish(worker, sqlite_farm.lease(worker, job_id))
    assert plan_of(sqlite_farm, job_id) is None


def test_plan_says_when_no_worker_serves_the_model_set(sqlite_farm: FarmFixture) -> None:
    plan = plan_of(sqlite_farm, sqlite_farm.submit(briefs(2)).job_id)
    assert plan is not None
    assert plan.eta_seconds is None
    assert "no worker serves tiny" in plan.unfit[0].reason


def test_plan_is_judged_by_the_limits_of_its_job(sqlite_farm: FarmFixture) -> None:
    sqlite_farm.join(price_per_hour=1.0)
    soon = datetime.fromtimestamp(sqlite_farm.clock() + 3600, UTC)
    job_id = sqlite_farm.submit(briefs(2), deadline=soon, budget=1e-9).job_id
    plan = plan_of(sqlite_farm, job_id)
    assert plan is not None
    assert plan.limits.deadline_seconds == pytest.approx(3600, abs=1)
    assert plan.limits.budget == 1e-9
    assert plan.verdict is not None
    assert (plan.verdict.deadline, plan.verdict.budget) == (Chance.LIKELY, Chance.UNLIKELY)
    assert not plan.is_feasible


def test_fleet_groups_equal_gpus(sqlite_farm: FarmFixture) -> None:
    farm = sqlite_farm
    for name in "ab":
        farm.join(name, gpu=CARD, price_per_hour=0.3)
    farm.join("c", gpu=CARD, price_per_hour=0.4)
    groups = job_plan.fleet_of([farm.worker(w.id) for w in farm.rows(type(farm.join("d")))])
    assert [(g.gpu, g.count, g.price, g.needs_boot, g.is_gpu) for g in groups] == [
        (CARD, 2, 0.3, False, True),
        (CARD, 1, 0.4, False, True),
        ("cpu", 1, 0.0, False, False),
    ]


@pytest.mark.parametrize("waiting", [0, 3])
def test_plan_notes_name_work_that_is_left_out(sqlite_farm: FarmFixture, waiting: int) -> None:
    if waiting:
        sqlite_farm.submit(briefs(waiting))
    with sqlite_farm.database.read() as session:
        notes = job_plan.waiting_now(session)
    assert len(notes) == bool(waiting)
    assert all("3 tracks of jobs submitted earlier" in note for note in notes)
