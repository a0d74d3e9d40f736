"""Rentals and instances for tests, with arbitrary defaults."""

from dataclasses import replace
from typing import Any

from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import Instance, InstanceState
from trackfarm_fleet.rentals.models import Observation, RentalRecord, WorkerObservation
from trackfarm_fleet.rentals.tags import Tags

T0 = 1_800_000_000.0
TAGS = Tags("hotel")
TAG = TAGS.prefix + "0123456789abcdef"


def a_rental(state: RentalState = RentalState.INTENDED, **changes: Any) -> RentalRecord:
    base = RentalRecord("rental_1", TAG, "vast", "RTX 4090", 1, 0.4, intended_at=T0, since=T0)
    if state is not RentalState.INTENDED:
        base = replace(base, provider_id="7", created_at=T0, seen_at=T0)
    return replace(base, state=state, **changes)


def an_instance(state: InstanceState = InstanceState.RUNNING, **changes: Any) -> Instance:
    return replace(Instance("vast", "7", TAG, state, price_per_hour=0.4), **changes)


def a_sight(seconds: float, instance: Instance | None = None, **changes: Any) -> Observation:
    """Return an observation with a list, `seconds` after T0."""
    return replace(
        Observation(at=T0 + seconds, listed_at=T0 + seconds, instance=instance), **changes
    )


AWAKE = WorkerObservation(silent_seconds=1.0)
