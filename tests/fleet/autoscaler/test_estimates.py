"""Estimates of offers by the cost model."""

import pytest

from tests.fleet.rental_builders import T0, a_rental, an_instance
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet, model_set
from trackfarm.planning.demand import TierDemand
from trackfarm.planning.forecast import SpeedOf
from trackfarm.planning.prices import built_in_prices
from trackfarm.protocol.fleet import RentalState
from trackfarm.speed_model import SpeedModel
from trackfarm_fleet.autoscaler.boot_time import NEVER_JOINS_SHARE, BootTimeModel
from trackfarm_fleet.autoscaler.estimates import (
    REFERENCE,
    Estimator,
    price_of_work,
)
from trackfarm_fleet.autoscaler.models import Candidate, MachineState
from trackfarm_fleet.providers.base import InstanceState, MachineOffer

TURBO = model_set("acestep-v15-turbo")
TERMS = built_in_prices().rental
BOOT_TIME = BootTimeModel.from_minutes(TERMS.boot_minutes)
DEMAND = [
    TierDemand(16, {TrackShape(120.0, 8, False): 100}),
    TierDemand(24, {TrackShape(400.0, 8, False): 10}),
]


def _offer(gpu: str, memory_mib: int = 24_564, **changes: object) -> MachineOffer:
    return MachineOffer("vast", "1", gpu, 1, memory_mib, 0.4, **changes)  # type: ignore[arg-type]


def _estimator(kind: ModelSet = TURBO, speed_of: SpeedOf = SpeedModel) -> Estimator:
    return Estimator(kind, DEMAND, speed_of, TERMS)


def _candidate(offer: MachineOffer, kind: ModelSet = TURBO) -> Candidate | None:
    return _estimator(kind).candidate(offer, bid_margin=0.1)


def test_relative_speed_of_the_reference_gpu_is_one() -> None:
    speed = _estimator().relative_speed
    assert speed(REFERENCE) == pytest.approx(1.0)
    assert speed("NVIDIA GeForce RTX 4090") == pytest.approx(1.0)
    assert speed("NVIDIA H200") > 3 * speed("RTX 3090")


def test_relative_speed_follows_measurements() -> None:
    shape = TrackShape(120.0, 8, False)

    def learned(gpu: str, kind: object) -> SpeedModel:
        model = SpeedModel(gpu, TURBO)
        slow = 3 * model.predict(shape).mean
        return model.observe_total({shape: 400}, 400 * slow) if gpu == "L4" else model

    prior = _estimator().relative_speed("L4")
    assert _estimator(speed_of=learned).relative_speed("L4") < prior
    assert Estimator(TURBO, [], learned, TERMS).relative_speed("L4") == 1.0


def test_backlog_is_in_seconds_of_the_reference_gpu() -> None:
    small, large = _estimator().backlog({16: 7})
    model = SpeedModel(REFERENCE, TURBO)
    assert small.seconds == pytest.approx(model.predict_total(DEMAND[0].counts).mean)
    assert (small.tracks, small.waiting, large.waiting) == (100, 7, 0)
    assert large.longest_seconds > small.longest_seconds


def test_candidate_is_ready_after_boot_and_download() -> None:
    usual, slow = _offer("L4"), _offer("L4", download_mbps=200.0)
    download_seconds = _estimator().download_seconds
    assert download_seconds(usual) == 1000 * TURBO.download_gb / TERMS.download_mb_per_second
    assert download_seconds(slow) == 1000 * TURBO.download_gb / 25.0
    candidate = _candidate(usual)
    assert candidate is not None
    boot_seconds = BOOT_TIME.remaining_seconds(0.0)
    assert candidate.ready_in_seconds == pytest.approx(boot_seconds + download_seconds(usual))
    assert candidate.join_probability == pytest.approx(1 - NEVER_JOINS_SHARE)


def test_price_of_work_excludes_an_unbilled_boot() -> None:
    charged, free = _candidate(_offer("L4")), _candidate(_offer("L4", free_boot=True))
    assert charged is not None
    assert free is not None
    assert charged.unbilled_boot_seconds == 0.0
    assert free.unbilled_boot_seconds == pytest.approx(BOOT_TIME.remaining_seconds(0.0))
    share = (2_000.0 - free.unbilled_boot_seconds) / 2_000.0
    assert price_of_work(free, 2_000.0) == pytest.approx(share * price_of_work(charged, 2_000.0))


def test_candidate_of_a_too_small_gpu_is_none() -> None:
    assert _candidate(_offer("GTX 1060", 3_072)) is None
    assert _candidate(_offer("RTX 3050", 8_192), model_set("acestep-v15-xl-turbo")) is None
    large = _candidate(_offer("RTX 4090"))
    assert large is not None
    assert large.vram == 24


def test_candidate_price_includes_the_bid() -> None:
    candidate = _candidate(_offer("RTX 4090", min_bid=0.3))
    assert candidate is not None
    assert candidate.bid == pytest.approx(0.33)
    assert candidate.price_per_hour == pytest.approx(0.43)


def _machine(state: RentalState, seconds: float, **changes: float | None) -> MachineState:
    shown = an_instance(InstanceState.RUNNING, region="se", host="h1", min_bid=0.25)
    return _estimator().machine(
        a_rental(state, **changes),
        shown,
        vram=24,
        speed=1.2,
        planned_ready_seconds=400.0,
        idle_seconds=5.0,
        bid=0.3,
        at=T0 + seconds,
    )


def test_machine_that_boots_is_ready_as_planned_or_later_and_less_likely() -> None:
    assert _machine(RentalState.INTENDED, 0.0).ready_in_seconds == pytest.approx(400.0)
    soon, late = _machine(RentalState.BOOTING, 60.0), _machine(RentalState.BOOTING, 1_000.0)
    assert 300.0 < soon.ready_in_seconds < 400.0
    assert late.ready_in_seconds > 60.0
    assert late.join_probability < 0.5 < soon.join_probability < 1.0
    joined = _machine(RentalState.JOINED, 1_000.0, joined_at=T0 + 500)
    assert (joined.ready_in_seconds, joined.age_seconds, joined.join_probability) == (
        0.0,
        1_000.0,
        1.0,
    )


def test_machine_is_draining_or_stopped_by_its_rental() -> None:
    assert _machine(RentalState.DRAINING, 9.0).is_draining
    assert _machine(RentalState.ENDING, 9.0).is_draining
    is_stopped = _machine(RentalState.JOINED, 9.0, joined_at=T0, stopped_at=T0 + 1)
    assert (is_stopped.is_stopped, is_stopped.is_draining) == (True, False)
    assert (is_stopped.bid, is_stopped.min_bid, is_stopped.region) == (0.3, 0.25, "se")
