"""Demand of the jobs in the autoscaler's terms."""

import pytest

from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.planning import built_in_prices
from trackfarm.protocol.fleet import JobLimits, LearntSpeed
from trackfarm.speed_model import SpeedModel
from trackfarm_fleet.autoscaler.demand import budget_of, deadline_seconds_of, speed_lookup

KIND = model_set("acestep-v15-turbo")


def job(tracks: int, deadline: float | None = None, budget: float | None = None) -> JobLimits:
    return JobLimits(tracks=tracks, deadline=deadline, budget=budget)


@pytest.mark.parametrize(
    ("jobs", "deadline"),
    [
        ([job(10)], None),
        ([job(10, 3600)], 3600),
        ([job(10, 3600), job(90)], 36_000),
        ([job(10, 3600), job(90, 7200)], 7200),
        ([job(50, 3600), job(50, 4000)], 4000),
        ([job(90, 3600), job(10, 36_000)], 4000),
        ([job(10, 0)], 0),
    ],
)
def test_deadline_seconds_of_jobs_lets_each_job_keep_its_own(
    jobs: list[JobLimits], deadline: float | None
) -> None:
    assert deadline_seconds_of(jobs) == deadline


@pytest.mark.parametrize(
    ("jobs", "fleet_budget", "budget"),
    [
        ([job(1)], None, None),
        ([job(1)], 7.0, 7.0),
        ([job(1, budget=2), job(1, budget=3)], None, 5.0),
        ([job(1, budget=2), job(1)], 7.0, 7.0),
        ([job(1, budget=2)], 7.0, 2.0),
        ([], 7.0, 7.0),
    ],
)
def test_budget_of_jobs_is_limited_by_the_fleet_and_the_jobs(
    jobs: list[JobLimits], fleet_budget: float | None, budget: float | None
) -> None:
    assert budget_of(jobs, fleet_budget) == budget


def test_speed_lookup_knows_the_providers_name_of_a_gpu() -> None:
    shape = TrackShape(60, 8, False)
    model = SpeedModel("RTX 4090", KIND)
    for _ in range(200):
        model = model.observe(shape, 4 * SpeedModel("RTX 4090", KIND).predict(shape).mean)
    learnt_speed = LearntSpeed(gpu="RTX 4090", model_set=KIND.name, stats=model.to_json())
    broken = LearntSpeed(gpu="NVIDIA L4", model_set=KIND.name, stats="{}")
    speed_of = speed_lookup([learnt_speed, broken], built_in_prices())
    assert speed_of("NVIDIA GeForce RTX 4090", KIND).tracks == 200
    assert speed_of("NVIDIA L4", KIND).tracks == 0
