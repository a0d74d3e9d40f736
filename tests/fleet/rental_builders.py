"""Rentals, instances and workers for tests, with arbitrary defaults."""

from dataclasses import replace
from typing import Any

from trackfarm.protocol.fleet import (
    PriceChange,
    RentalInfo,
    RentalPlan,
    RentalState,
    RentalStatus,
    RentedWorker,
)
from trackfarm.protocol.operator import WorkerState
from trackfarm_fleet.providers.base import Instance, InstanceState
from trackfarm_fleet.rentals.models import Observation, RentalRecord, WorkerObservation
from trackfarm_fleet.rentals.tags import Tags

T0 = 1_800_000_000.0
TAGS = Tags("hotel")
TAG = TAGS.prefix + "0123456789abcdef"
HOURLY = 3.6  # $: a tenth of a cent a second
AWAKE = WorkerObservation(silent_seconds=1.0)


def a_rental(state: RentalState = RentalState.INTENDED, **changes: Any) -> RentalRecord:
    base = RentalRecord("rental_1", TAG, "vast", "RTX 4090", 1, 0.4, intended_at=T0, since=T0)
    if state is not RentalState.INTENDED:
        base = replace(base, provider_id="7", created_at=T0, seen_at=T0)
    return replace(base, state=state, **changes)


def an_instance(state: InstanceState = InstanceState.RUNNING, **changes: Any) -> Instance:
    return replace(Instance("vast", "7", TAG, state, price_per_hour=0.4), **changes)


def an_observation(seconds: float, instance: Instance | None = None, **changes: Any) -> Observation:
    """Return an observation with a list, `seconds` after T0."""
    return replace(
        Observation(at=T0 + seconds, listed_at=T0 + seconds, instance=instance), **changes
    )


def a_rental_info(
    state: RentalState = RentalState.JOINED,
    *,
    purpose: str = "",
    gpus: int = 1,
    **changes: Any,
) -> RentalInfo:
    """Return a rental created at 100 and joined at 160, at `HOURLY`; `changes` of its status."""
    status: dict[str, Any] = {
        "state": state,
        "since": 100,
        "price_per_hour": HOURLY,
        "created_at": 100,
        "joined_at": 160,
        "seen_at": 1000,
        "prices": [PriceChange(at=100, price_per_hour=HOURLY)],
    }
    plan = RentalPlan(
        tag=TAG,
        provider="vast",
        gpu="RTX 4090",
        gpus=gpus,
        vram=24,
        model_set="tiny",
        purpose=purpose,
        price_per_hour=HOURLY,
        intended_at=99,
    )
    return RentalInfo(id="rental_1", plan=plan, status=RentalStatus(**status | changes), version=3)


def a_worker(**changes: Any) -> RentedWorker:
    base: dict[str, Any] = {
        "id": "worker_1",
        "tag": "one",
        "state": WorkerState.BUSY,
        "gpu": "RTX 4090",
        "vram": 24,
        "model_set": "tiny",
        "speed": 1.0,
        "strikes": 0,
        "tracks_done": 50,
        "silent_seconds": 1.0,
        "idle_seconds": 0.0,
        "shards": 1,
    }
    return RentedWorker(**base | changes)
