"""Demand of the jobs, and underperforming machines."""

from typing import Any

import pytest

from tests.fleet.rental_builders import a_rental
from tests.fleet.scaling_builders import a_candidate, a_machine
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.planning import built_in_prices
from trackfarm.protocol.fleet import JobLimits, LearntSpeed, RentalState, RentedWorker
from trackfarm.protocol.operator import WorkerState
from trackfarm.speed_model import SpeedModel
from trackfarm_fleet.autoscaler.demand import budget_of, deadline_of, learnt
from trackfarm_fleet.autoscaler.scale_down import UnderperformanceRule, underperforming
from trackfarm_fleet.rentals.observation import REJOIN_S, worker_sight

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
def test_everything_is_due_when_each_job_keeps_its_own_deadline(
    jobs: list[JobLimits], deadline: float | None
) -> None:
    assert deadline_of(jobs) == deadline


@pytest.mark.parametrize(
    ("jobs", "left", "budget"),
    [
        ([job(1)], None, None),
        ([job(1)], 7.0, 7.0),
        ([job(1, budget=2), job(1, budget=3)], None, 5.0),
        ([job(1, budget=2), job(1)], 7.0, 7.0),
        ([job(1, budget=2)], 7.0, 2.0),
        ([], 7.0, 7.0),
    ],
)
def test_money_is_what_the_fleet_and_the_jobs_have_left(
    jobs: list[JobLimits], left: float | None, budget: float | None
) -> None:
    assert budget_of(jobs, left) == budget


def test_what_was_learnt_is_found_by_the_providers_name_of_the_card() -> None:
    shape = TrackShape(60, 8, False)
    model = SpeedModel("RTX 4090", KIND)
    for _ in range(200):
        model = model.observe(shape, 4 * SpeedModel("RTX 4090", KIND).predict(shape).mean)
    learnt_speed = LearntSpeed(gpu="RTX 4090", model_set=KIND.name, stats=model.to_json())
    broken = LearntSpeed(gpu="NVIDIA L4", model_set=KIND.name, stats="{}")
    speed_of = learnt([learnt_speed, broken], built_in_prices())
    assert speed_of("NVIDIA GeForce RTX 4090", KIND).tracks == 200
    assert speed_of("NVIDIA L4", KIND).tracks == 0


def a_worker(**changes: Any) -> RentedWorker:
    base: dict[str, Any] = {
        "id": "worker_1", "tag": "one", "state": WorkerState.BUSY, "gpu": "RTX 4090", "vram": 24,
        "model_set": "tiny", "speed": 1.0, "strikes": 0, "tracks_done": 50, "silent_seconds": 1.0,
        "idle_seconds": 0.0, "shards": 1,
    }  # fmt: skip
    return RentedWorker(**base | changes)


@pytest.mark.parametrize(
    ("changes", "price", "why"),
    [
        ({}, 0.4, ""),
        ({"speed": 0.4}, 0.4, "too slow for its price"),
        ({"speed": 0.4, "tracks_done": 3}, 0.4, ""),
        ({"speed": 0.4}, 0.1, ""),
        ({"state": WorkerState.QUARANTINED}, 0.1, "other workers completed"),
        ({"state": WorkerState.GONE, "speed": 0.1}, 0.4, ""),
    ],
    ids=["fine", "slow", "too early to say", "slow and cheap", "quarantined", "gone"],
)
def test_a_machine_goes_when_it_is_not_worth_its_price(
    changes: dict[str, Any], price: float, why: str
) -> None:
    worker = a_worker(**changes)
    machine = a_machine("one", price_per_hour=price, speed=worker.speed)
    returned = list(
        underperforming([machine], {"one": [worker]}, [a_candidate("b")], UnderperformanceRule())
    )
    assert [bool(why) and why in back.reason for back in returned] == ([True] if why else [])


@pytest.mark.parametrize(
    ("state", "workers", "left"),
    [
        (RentalState.JOINED, [a_worker(state=WorkerState.GONE)], False),
        (RentalState.JOINED, [a_worker(state=WorkerState.GONE, silent_seconds=REJOIN_S + 1)], True),
        (RentalState.JOINED, [a_worker(state=WorkerState.GONE), a_worker()], False),
        (RentalState.DRAINING, [a_worker(state=WorkerState.GONE)], True),
        (RentalState.DRAINING, [a_worker(state=WorkerState.LOST)], True),
        (RentalState.JOINED, [a_worker(state=WorkerState.LOST, silent_seconds=900)], False),
    ],
    ids=["started anew", "for good", "one is back", "drained", "lost in its drain", "lost"],
)
def test_a_worker_has_left_when_nothing_of_it_is_to_come(
    state: RentalState, workers: list[RentedWorker], *, left: bool
) -> None:
    sight = worker_sight(a_rental(state), workers)
    assert sight is not None
    assert sight.left is left


def test_before_anybody_has_joined_there_is_no_worker() -> None:
    assert worker_sight(a_rental(), []) is None
