"""Allocation of machines and budget among model sets."""

from collections.abc import Sequence

from tests.fleet.rental_builders import a_worker
from trackfarm.planning import built_in_prices
from trackfarm.planning.models import ShapeCount
from trackfarm.protocol.fleet import (
    FleetDemand,
    FleetLease,
    FleetState,
    JobLimits,
    PriceChange,
    RentalInfo,
    RentalPlan,
    RentalState,
    RentalStatus,
    RentedWorker,
)
from trackfarm.protocol.operator import WorkerState
from trackfarm_fleet.autoscaler.allocation import FleetSnapshot, decide
from trackfarm_fleet.autoscaler.models import ScalingDecision, ScalingRules
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.providers.base import MachineOffer

BASE, TURBO = "acestep-v15-base", "acestep-v15-turbo"
NOW = 1_800_000_000.0
HOUR = 3600.0
SPENT = 4.0  # $ of ten machines in an hour
OFFER = MachineOffer("vast", "o", "RTX 4090", 1, 24 * 1024, 0.4, "", "", 20)


def a_demand(name: str, tracks: int, deadline: float) -> FleetDemand:
    shape = ShapeCount(duration=60, steps=27, guided=False, min_vram=24, count=tracks)
    jobs = [JobLimits(tracks=tracks, deadline=deadline, budget=None)]
    return FleetDemand(model_set=name, shapes=[shape], waiting={24: tracks}, jobs=jobs)


def machines(name: str, number: int) -> list[RentalInfo]:
    """Return machines that have worked for an hour, at $0.40."""
    return [_machine(name, n) for n in range(number)]


def _machine(name: str, number: int) -> RentalInfo:
    tag = f"tf-{name[-5:]}-{number}"
    return RentalInfo(
        id=tag,
        plan=RentalPlan(
            tag=tag,
            provider="vast",
            gpu="RTX 4090",
            gpus=1,
            vram=24,
            model_set=name,
            price_per_hour=0.4,
            intended_at=NOW - HOUR,
        ),
        status=RentalStatus(
            state=RentalState.JOINED,
            since=NOW,
            price_per_hour=0.4,
            created_at=NOW - HOUR,
            joined_at=NOW - HOUR + 60,
            seen_at=NOW,
            prices=[PriceChange(at=NOW - HOUR, price_per_hour=0.4)],
        ),
        version=1,
    )


def a_failing_worker(tag: str) -> RentedWorker:
    return a_worker(tag=tag, state=WorkerState.QUARANTINED, model_set=BASE, strikes=3, shards=0)


def decided(
    rows: Sequence[RentalInfo],
    policy: RentalPolicy,
    *,
    workers: dict[str, list[RentedWorker]] | None = None,
    base: int = 20_000,
) -> dict[str, ScalingDecision]:
    state = FleetState(
        lease=FleetLease(farm="hotel", holder="we", epoch=1, seconds=60),
        rentals=list(rows),
        workers=[],
        demands=[a_demand(BASE, base, HOUR), a_demand(TURBO, 200_000, 4 * HOUR)],
        speeds=[],
    )
    snapshot = FleetSnapshot(state, rows, workers or {}, {}, [OFFER], built_in_prices(), NOW)
    return dict(decide(snapshot, policy))


def test_decide_counts_kept_machines_of_others_against_the_maximum() -> None:
    full = decided(machines(TURBO, 10), RentalPolicy(ScalingRules(max_machines=10)))
    assert list(full) == [BASE, TURBO]
    assert (full[BASE].rent, len(full[TURBO].keep)) == ((), 10)
    some = decided(machines(TURBO, 7), RentalPolicy(ScalingRules(max_machines=10)))
    assert [len(some[name].rent) for name in (BASE, TURBO)] == [3, 0]


def test_decide_counts_a_released_machine_once() -> None:
    rows = machines(BASE, 4)
    workers = {rows[0].plan.tag: [a_failing_worker(rows[0].plan.tag)]}
    decisions = decided(rows, RentalPolicy(ScalingRules(max_machines=6)), workers=workers, base=10)
    assert rows[0].plan.tag in [release.tag for release in decisions[BASE].release]
    assert [len(decisions[name].rent) for name in (BASE, TURBO)] == [0, 2]


def test_decide_protects_the_machines_of_others_from_unaffordable_work() -> None:
    rows = machines(TURBO, 10)
    decisions = decided(rows, RentalPolicy(ScalingRules(max_machines=12), budget=SPENT + 3.0))
    assert len(decisions[BASE].rent) >= 1
    assert decisions[BASE].cost > 3.0
    assert (decisions[TURBO].release, len(decisions[TURBO].keep)) == ((), 10)


def test_decide_reserves_the_shutdown_cost_of_later_model_sets() -> None:
    rows = machines(TURBO, 10)
    decisions = decided(rows, RentalPolicy(ScalingRules(max_machines=20), budget=SPENT + 0.2))
    assert decisions[BASE].rent == ()
    assert decisions[TURBO].release == ()
