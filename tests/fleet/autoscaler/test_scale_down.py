"""Scale-down: machines without work, unneeded machines and underperforming ones."""

from typing import Any

import pytest

from tests.fleet.rental_builders import a_worker
from tests.fleet.scaling_builders import a_backlog, a_candidate, a_machine
from trackfarm.protocol.operator import WorkerState
from trackfarm_fleet.autoscaler.models import ScalingInput, ScalingRules
from trackfarm_fleet.autoscaler.scale_down import (
    UnderperformanceRule,
    has_waiting_tracks,
    idle_machines,
    surplus_machines,
    underperforming,
)

RULES = ScalingRules()
HOUR = 3600.0


def test_has_waiting_tracks_of_its_tier_or_a_smaller_one() -> None:
    machine = a_machine("a", vram=24)
    assert has_waiting_tracks(machine, [a_backlog(60.0, vram=12)])
    assert not has_waiting_tracks(machine, [a_backlog(60.0, vram=80)])
    assert not has_waiting_tracks(machine, [a_backlog(60.0, vram=12, waiting=0)])


def test_idle_machines_are_those_idle_or_starting_for_too_long() -> None:
    machines = [
        a_machine("idle", idle_seconds=10.0),
        a_machine("busy", idle_seconds=9.0),
        a_machine("starting", ready_in_seconds=60.0, age_seconds=10.0),
        a_machine("new", ready_in_seconds=60.0, age_seconds=9.0),
    ]
    inputs = ScalingInput([a_backlog(60.0, waiting=0)], machines, [])
    releases = idle_machines(inputs, machines, RULES)
    assert {release.tag for release in releases} == {"idle", "starting"}


def test_surplus_machines_leave_enough_for_the_target() -> None:
    machines = [a_machine("expensive", price_per_hour=2.0), a_machine("cheap")]
    inputs = ScalingInput([a_backlog(HOUR)], machines, [])
    (release,) = surplus_machines(inputs, machines, 4 * HOUR, RULES)
    assert release.tag == "expensive"
    assert "$2.000/h saved" in release.reason
    assert list(surplus_machines(inputs, machines, HOUR, RULES)) == []


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
def test_underperforming_machines_are_released_with_the_reason(
    changes: dict[str, Any], price: float, why: str
) -> None:
    worker = a_worker(**changes)
    machine = a_machine("one", price_per_hour=price, speed=worker.speed)
    releases = list(
        underperforming([machine], {"one": [worker]}, [a_candidate("b")], UnderperformanceRule())
    )
    assert [bool(why) and why in release.reason for release in releases] == ([True] if why else [])
