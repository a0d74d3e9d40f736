"""The plan made at submission against what happened, on catalogs that the farm has not seen."""

import random
from collections.abc import Iterator

import pytest

from tests.end_to_end.catalogs import fresh_name
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.promises import ends_done
from trackfarm.api import JobHeader
from trackfarm.catalog import Brief

LESSONS, TRACKS = 120, 40
CATALOGS = {"short": (10, 20), "mixed": (10, 60), "long": (30, 60)}
GOAL = 0.10


@pytest.fixture
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory, workers=("one", "two")) as running:
        yield running


def mixed(dice: random.Random, number: int, shortest: float, longest: float) -> list[Brief]:
    return [
        Brief(prompt=f"take {n}", duration=round(dice.uniform(shortest, longest), 1))
        for n in range(number)
    ]


def made(farm: LocalFarm, wanted: list[Brief]) -> tuple[float, float]:
    """Seconds that the plan said, and that it took."""
    job = farm.client.submit(JobHeader(catalog=fresh_name("forecast")), wanted).job.id
    ends_done(farm, job, timeout_s=600)
    ended = farm.client.job(job)
    assert ended.plan
    assert ended.started_at
    assert ended.finished_at
    took = ended.finished_at - ended.started_at
    return ended.plan["eta_seconds"]["expected"], took.total_seconds()


@pytest.mark.soak
@pytest.mark.timeout(1500)
def test_the_plan_is_right(farm: LocalFarm) -> None:
    dice = random.Random(7)
    planned, took = made(farm, mixed(dice, LESSONS, 10, 40))
    print(f"plan before anything was learnt: {planned:.1f} s, took {took:.1f} s")
    errors = {}
    for name, (shortest, longest) in CATALOGS.items():
        planned, took = made(farm, mixed(dice, TRACKS, shortest, longest))
        errors[name] = planned / took - 1
        print(
            f"plan of the {name} catalog: {planned:.1f} s, took {took:.1f} s ({errors[name]:+.1%})"
        )
    assert all(abs(error) <= GOAL for error in errors.values()), errors
