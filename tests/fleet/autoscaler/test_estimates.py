"""Estimates of offers by the cost model."""

import pytest

from tests.fleet.rental_builders import T0, a_rental, an_instance
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet, model_set
from trackfarm.planning.demand import TierDemand
from trackfarm.planning.prices import built_in_prices
from trackfarm.protocol.fleet import RentalState
from trackfarm.speed_model import SpeedModel
from trackfarm_fleet.autoscaler.boot_time import NEVER, BootTimeModel
from trackfarm_fleet.autoscaler.estimates import (
    REFERENCE,
    backlog_of,
    candidate_of,
    download_s,
    machine_of,
    price_of_work,
    relative_speed,
)
from trackfarm_fleet.autoscaler.models import Candidate, MachineState
from trackfarm_fleet.providers.base import InstanceState, MachineOffer

TURBO = model_set("acestep-v15-turbo")
RENTAL = built_in_prices().rental
BOOTS = BootTimeModel.of(RENTAL.boot_minutes)
BAGS = [
    TierDemand(16, {TrackShape(120.0, 8, False): 100}),
    TierDemand(24, {TrackShape(400.0, 8, False): 10}),
]


def _offer(gpu: str, memory_mib: int = 24_564, **changes: object) -> MachineOffer:
    return MachineOffer("vast", "1", gpu, 1, memory_mib, 0.4, **changes)  # type: ignore[arg-type]


def _candidate(offer: MachineOffer, kind: ModelSet = TURBO) -> Candidate | None:
    return candidate_of(offer, BAGS, kind=kind, speed_of=SpeedModel, rental=RENTAL, raise_by=0.1)


def test_speed_is_relative_to_the_reference_card() -> None:
    def speed(gpu: str) -> float:
        return relative_speed(gpu, BAGS, kind=TURBO, speed_of=SpeedModel)

    assert speed(REFERENCE) == pytest.approx(1.0)
    assert speed("NVIDIA GeForce RTX 4090") == pytest.approx(1.0)
    assert speed("NVIDIA H200") > 3 * speed("RTX 3090")


def test_what_was_measured_counts_and_not_the_table_alone() -> None:
    shape = TrackShape(120.0, 8, False)

    def learned(gpu: str, kind: object) -> SpeedModel:
        model = SpeedModel(gpu, TURBO)
        slow = 3 * model.predict(shape).mean
        return model.observe_total({shape: 400}, 400 * slow) if gpu == "L4" else model

    guessed = relative_speed("L4", BAGS, kind=TURBO, speed_of=SpeedModel)
    assert relative_speed("L4", BAGS, kind=TURBO, speed_of=learned) < guessed


def test_the_backlog_is_in_seconds_of_the_reference_card() -> None:
    small, large = backlog_of(BAGS, {16: 7}, kind=TURBO, speed_of=SpeedModel)
    model = SpeedModel(REFERENCE, TURBO)
    assert small.seconds == pytest.approx(model.predict_total(BAGS[0].counts).mean)
    assert (small.tracks, small.waiting, large.waiting) == (100, 7, 0)
    assert large.longest > small.longest


def test_boot_and_download_come_before_the_first_track() -> None:
    usual, slow = _offer("L4"), _offer("L4", download_mbps=200.0)
    assert (
        download_s(usual, TURBO, RENTAL) == 1000 * TURBO.download_gb / RENTAL.download_mb_per_second
    )
    assert download_s(slow, TURBO, RENTAL) == 1000 * TURBO.download_gb / 25.0
    candidate = _candidate(usual)
    assert candidate is not None
    boot = BOOTS.remaining(0.0)
    assert candidate.ready_in == pytest.approx(boot + download_s(usual, TURBO, RENTAL))
    assert candidate.sure == pytest.approx(1 - NEVER)


def test_a_boot_that_is_not_charged_is_no_part_of_the_price_of_work() -> None:
    charged, free = _candidate(_offer("L4")), _candidate(_offer("L4", free_boot=True))
    assert charged is not None
    assert free is not None
    assert charged.unpaid == 0.0
    assert free.unpaid == pytest.approx(BOOTS.remaining(0.0))
    share = (2_000.0 - free.unpaid) / 2_000.0
    assert price_of_work(free, 2_000.0) == pytest.approx(share * price_of_work(charged, 2_000.0))


def test_a_card_that_is_too_small_is_no_candidate() -> None:
    assert _candidate(_offer("GTX 1060", 3_072)) is None
    assert _candidate(_offer("RTX 3050", 8_192), model_set("acestep-v15-xl-turbo")) is None
    large = _candidate(_offer("RTX 4090"))
    assert large is not None
    assert large.vram == 24


def test_a_bid_is_part_of_the_price() -> None:
    candidate = _candidate(_offer("RTX 4090", min_bid=0.3))
    assert candidate is not None
    assert candidate.bid == pytest.approx(0.33)
    assert candidate.price_per_hour == pytest.approx(0.43)


def _machine(state: RentalState, seconds: float, **changes: float | None) -> MachineState:
    shown = an_instance(InstanceState.RUNNING, region="se", host="h1", min_bid=0.25)
    return machine_of(
        a_rental(state, **changes),
        shown,
        vram=24,
        speed=1.2,
        boot=400.0,
        boots=BOOTS,
        idle=5.0,
        bid=0.3,
        at=T0 + seconds,
    )


def test_a_machine_that_boots_is_ready_when_it_was_expected_or_later_and_less_sure() -> None:
    assert _machine(RentalState.INTENDED, 0.0).ready_in == pytest.approx(400.0)
    soon, late = _machine(RentalState.BOOTING, 60.0), _machine(RentalState.BOOTING, 1_000.0)
    assert 300.0 < soon.ready_in < 400.0
    assert late.ready_in > 60.0
    assert late.sure < 0.5 < soon.sure < 1.0
    joined = _machine(RentalState.JOINED, 1_000.0, joined_at=T0 + 500)
    assert (joined.ready_in, joined.held, joined.sure) == (0.0, 1_000.0, 1.0)


def test_a_row_says_whether_its_machine_drains_or_is_stopped() -> None:
    assert _machine(RentalState.DRAINING, 9.0).draining
    assert _machine(RentalState.ENDING, 9.0).draining
    stopped = _machine(RentalState.JOINED, 9.0, joined_at=T0, stopped_at=T0 + 1)
    assert (stopped.stopped, stopped.draining) == (True, False)
    assert (stopped.bid, stopped.min_bid, stopped.region) == (0.3, 0.25, "se")
