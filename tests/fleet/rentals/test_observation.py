"""Observations of the workers and the machine of a rental."""

import pytest

from tests.fleet.rental_builders import T0, a_rental, a_worker, an_instance
from trackfarm.protocol.fleet import RentalState, RentedWorker
from trackfarm.protocol.operator import WorkerState
from trackfarm_fleet.providers.base import Unavailable
from trackfarm_fleet.rentals.observation import (
    REJOIN_S,
    FleetObservation,
    InstanceList,
    observe_workers,
    workers_by_tag,
)


@pytest.mark.parametrize(
    ("state", "workers", "has_left"),
    [
        (RentalState.JOINED, [a_worker(state=WorkerState.GONE)], False),
        (
            RentalState.JOINED,
            [a_worker(state=WorkerState.GONE, silent_seconds=REJOIN_S + 1)],
            True,
        ),
        (RentalState.JOINED, [a_worker(state=WorkerState.GONE), a_worker()], False),
        (RentalState.DRAINING, [a_worker(state=WorkerState.GONE)], True),
        (RentalState.DRAINING, [a_worker(state=WorkerState.LOST)], True),
        (RentalState.JOINED, [a_worker(state=WorkerState.LOST, silent_seconds=900)], False),
    ],
    ids=["restarting", "gone", "one is back", "drained", "lost in its drain", "lost"],
)
def test_observe_workers_have_left_once_none_can_come_back(
    state: RentalState, workers: list[RentedWorker], *, has_left: bool
) -> None:
    observation = observe_workers(a_rental(state), workers)
    assert observation is not None
    assert observation.has_left is has_left


def test_observe_workers_before_any_has_joined_is_none() -> None:
    assert observe_workers(a_rental(), []) is None


def test_fleet_observation_joins_the_list_and_the_workers_of_a_rental() -> None:
    rental, worker = a_rental(RentalState.JOINED), a_worker(tag=a_rental().tag, silent_seconds=3.0)
    fleet = FleetObservation(
        {"vast": InstanceList(T0 + 1, [an_instance()])}, workers_by_tag([worker])
    )
    observation = fleet.of(rental, at=T0 + 2, release_reason="idle")
    assert (observation.at, observation.listed_at) == (T0 + 2, T0 + 1)
    assert observation.instance == an_instance()
    assert observation.worker is not None
    assert observation.worker.silent_seconds == 3.0
    assert observation.release_reason == "idle"


@pytest.mark.parametrize("lists", [{}, {"vast": InstanceList(T0, Unavailable("down"))}])
def test_fleet_observation_without_a_list_says_nothing_about_the_machine(
    lists: dict[str, InstanceList],
) -> None:
    observation = FleetObservation(lists, {}).of(a_rental(RentalState.JOINED), at=T0)
    assert (observation.listed_at, observation.instance, observation.worker) == (None, None, None)
