"""The plan at submission compared with the outcome, on new catalogs."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.end_to_end.catalogs import fresh_name
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import attempts_in_state, wait_until_done
from trackfarm.catalog import Brief
from trackfarm.protocol.operator import JobHeader
from trackfarm_scheduler.policy.states import AttemptState

LESSONS, TRACKS = 110, 30
CATALOGS = {"short": (10, 20), "mixed": (10, 60), "long": (30, 60)}
GOAL = 0.10
NAMES = ("one", "two")


@pytest.fixture
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory, workers=NAMES) as running:
        yield running


@dataclass(frozen=True)
class Outcome:
    """Planned and actual seconds, of the job (wall time) and of all engines together (work)."""

    planned: float
    took: float
    planned_work: float
    work: float

    @property
    def error(self) -> float:
        return self.planned / self.took - 1

    def __str__(self) -> str:
        busy = self.work / (len(NAMES) * self.took)
        return (
            f"planned {self.planned:.1f} s, took {self.took:.1f} s ({self.error:+.1%});"
            f" engines {self.planned_work:.1f} s planned, {self.work:.1f} s taken"
            f" ({self.planned_work / self.work - 1:+.1%}), busy {busy:.1%}"
        )


def mixed(dice: random.Random, number: int, shortest: float, longest: float) -> list[Brief]:
    return [
        Brief(prompt=f"take {n}", duration=round(dice.uniform(shortest, longest), 1))
        for n in range(number)
    ]


def made(farm: LocalFarm, wanted: list[Brief]) -> Outcome:
    job = farm.client.submit(
        JobHeader(catalog=fresh_name("forecast"), model_set="tiny"), wanted
    ).job.id
    wait_until_done(farm, job, timeout_s=600)
    ended = farm.client.job(job)
    assert ended.plan
    assert ended.started_at
    assert ended.finished_at
    done = attempts_in_state(farm, job, AttemptState.DONE)
    return Outcome(
        planned=ended.plan["eta_seconds"]["expected"],
        took=(ended.finished_at - ended.started_at).total_seconds(),
        planned_work=3600 * ended.plan["gpu_hours"]["expected"],
        work=sum(json.loads(attempt.timings)["service"] for attempt in done),
    )


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_plan_matches_the_outcome(farm: LocalFarm) -> None:
    dice = random.Random(7)
    print(f"before anything was learnt: {made(farm, mixed(dice, LESSONS, 10, 60))}")
    outcomes = {name: made(farm, mixed(dice, TRACKS, *ends)) for name, ends in CATALOGS.items()}
    for name, outcome in outcomes.items():
        print(f"{name} catalog: {outcome}")
    assert all(abs(outcome.error) <= GOAL for outcome in outcomes.values())
