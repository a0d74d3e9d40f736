"""Plans add up for every catalog and fleet."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackfarm.cost import TrackShape, seconds
from trackfarm.model_sets import ModelSet, model_set
from trackfarm.planning import Plan, PlanLimits, ShapeCount, built_in_prices, demand_of, parse_fleet
from trackfarm.planning import plan as planned
from trackfarm.planning.alternatives import chances
from trackfarm.planning.forecast import Forecaster
from trackfarm.planning.models import Chance, FleetOption, Interval, SpeedSource
from trackfarm.speed_model import SpeedModel

TURBO = model_set("acestep-v15-turbo")
PRICES = built_in_prices()
FLEET = "6x RTX 4090 @0.34, 2x A100-80 @1.50"

tiers_of_lengths = {20: 6, 45: 8, 100: 12, 250: 16, 500: 24}
catalogs = st.lists(
    st.builds(
        lambda duration, steps, count: ShapeCount(
            duration=duration,
            steps=steps,
            guided=False,
            min_vram=tiers_of_lengths[duration],
            count=count,
        ),
        st.sampled_from(sorted(tiers_of_lengths)),
        st.sampled_from([4, 8, 20]),
        st.integers(1, 50_000),
    ),
    min_size=1,
    max_size=6,
)
fleets = st.lists(
    st.builds(
        lambda count, card: f"{count}x {card}",
        st.integers(1, 40),
        st.sampled_from([name for name in PRICES.cards if name != "cpu"] + ["RTX 4090 @0"]),
    ),
    min_size=1,
    max_size=3,
).map(", ".join)


def tracks(count: int, *, duration: float = 180, min_vram: int = 16) -> ShapeCount:
    return ShapeCount(duration=duration, steps=8, guided=False, min_vram=min_vram, count=count)


def plan_of(
    catalog: list[ShapeCount],
    fleet: str = FLEET,
    *,
    kind: ModelSet = TURBO,
    deadline: float | None = None,
    budget: float | None = None,
) -> Plan:
    limits = PlanLimits(deadline_seconds=deadline, budget=budget)
    groups = parse_fleet(fleet, PRICES)
    return planned(demand_of(catalog), groups, kind=kind, prices=PRICES, limits=limits)


def test_plan_of_fifteen_thousand_tracks_of_three_minutes() -> None:
    plan = plan_of([tracks(15_000)], "6x RTX 4090 @0.34")
    each = seconds(TrackShape(180, 8, False), gpu="RTX 4090", model_set=TURBO)
    work, start = 15_000 * each / 3600, (4 * 60 + 6_300 / 50) / 3600
    assert plan.eta_seconds is not None
    assert plan.gpu_hours.expected == pytest.approx(work)
    assert plan.eta_seconds.expected / 3600 == pytest.approx(start + work / 6, rel=0.001)
    assert plan.cost.total.expected == pytest.approx((6 * start + work) * 0.34, rel=0.001)
    assert plan.cost.boot == pytest.approx(6 * start * 0.34)
    assert plan.cost.bought == pytest.approx(855)
    assert plan.eta_seconds.low < 0.6 * plan.eta_seconds.expected
    assert plan.eta_seconds.high > 1.5 * plan.eta_seconds.expected
    assert plan.groups[0].source is SpeedSource.PRIOR
    assert "not measured" in plan.notes[0]


@settings(deadline=None, max_examples=12)
@given(catalogs, fleets)
def test_plan_adds_up(catalog: list[ShapeCount], fleet: str) -> None:
    plan = plan_of(catalog, fleet)
    assert sum(tier.tracks for tier in plan.tiers) == plan.tracks == sum(c.count for c in catalog)
    unfit = sum(part.tracks for part in plan.unfit)
    assert sum(group.tracks for group in plan.groups) == plan.tracks - unfit
    assert sum(group.cost for group in plan.groups) == pytest.approx(plan.cost.total.expected)
    parts = plan.cost.work + plan.cost.boot + plan.cost.idle
    assert parts == pytest.approx(plan.cost.total.expected)
    for group in plan.groups:
        assert group.cost == pytest.approx(group.hours * group.price)
        assert group.work_hours + group.boot_hours + group.idle_hours == pytest.approx(group.hours)
        if plan.eta_seconds is not None:
            paid = group.count * plan.eta_seconds.expected / 3600
            assert group.hours == pytest.approx(paid)
    work = sum(tier.gpu_hours or 0 for tier in plan.tiers)
    assert plan.gpu_hours.expected == pytest.approx(work)
    for span in (plan.eta_seconds, plan.cost.total, plan.gpu_hours):
        assert span is None or span.low <= span.expected <= span.high
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def forecast_of(catalog: list[ShapeCount], fleet: str) -> tuple[int, float]:
    """Return the number of tiers that fit and the expected seconds to make them.

    A plan says the same, but spends 97 % of its time on its alternatives.
    """
    groups, demand = parse_fleet(fleet, PRICES), demand_of(catalog)
    fitting = [tier for tier in demand.tiers if any(group.vram >= tier.vram for group in groups)]
    whole = Forecaster(demand, TURBO, PRICES.rental, SpeedModel)
    forecast = whole.limited_to(fitting).forecast(groups) if fitting else None
    return len(fitting), forecast.eta.expected if forecast else 0


@settings(deadline=None, max_examples=25)
@given(catalogs, fleets, st.sampled_from(sorted(set(PRICES.cards) - {"cpu"})))
def test_plan_with_one_more_card_is_never_slower(
    catalog: list[ShapeCount], fleet: str, card: str
) -> None:
    fitting, before = forecast_of(catalog, fleet)
    fitting_after, after = forecast_of(catalog, f"{fleet}, 1x {card}")
    if before and fitting == fitting_after:
        assert after <= before * (1 + 1e-6)


@given(
    st.builds(
        lambda values: Interval(low=values[0], expected=values[1], high=values[2]),
        st.lists(st.floats(1, 1e6), min_size=3, max_size=3).map(sorted),
    ),
    st.floats(0.5, 2e6),
    st.floats(0.5, 2e6),
)
def test_plan_keeps_a_wider_limit_no_less(span: Interval, one: float, other: float) -> None:
    order = [Chance.UNLIKELY, Chance.UNSURE, Chance.LIKELY]
    narrow, wide = (chance_of(span, limit) for limit in sorted([one, other]))
    assert order.index(narrow) <= order.index(wide)
    assert chance_of(span, span.high) is Chance.LIKELY


def chance_of(span: Interval, limit: float) -> Chance:
    forecaster = Forecaster(demand_of([tracks(10)]), TURBO, PRICES.rental, SpeedModel)
    forecast = forecaster.forecast(parse_fleet("1x H200", PRICES))
    assert forecast is not None
    shifted = replace(forecast, eta=span, cost=span)
    deadline, budget = chances(PlanLimits(deadline_seconds=limit, budget=limit), shifted)
    assert deadline is budget
    assert deadline is not None
    return deadline


def test_plan_lists_tracks_that_fit_no_card_and_covers_the_rest() -> None:
    catalog = [tracks(100, min_vram=12, duration=90), tracks(200, min_vram=24, duration=301)]
    plan = plan_of([*catalog, tracks(12, min_vram=24, duration=600)], "3x RTX 3060")
    assert [part.reason for part in plan.unfit] == [
        "212 tracks of 301-600 s need vram24; the fleet has at most vram12"
    ]
    assert sum(group.tracks for group in plan.groups) == 100
    assert plan.eta_seconds is not None
    assert [tier.gpu_hours is None for tier in plan.tiers] == [False, True]
    assert not plan.is_feasible
    assert plan.alternatives
    assert not any("3060" in option.fleet for option in plan.alternatives)


def test_plan_without_workers_makes_nothing() -> None:
    plan = planned(demand_of([tracks(1)]), [], kind=TURBO, prices=PRICES)
    assert plan.eta_seconds is None
    assert plan.cost.total.expected == 0
    assert plan.unfit[0].reason == (
        "1 track of 180 s needs vram16; no worker serves acestep-v15-turbo"
    )
    assert plan.alternatives


@pytest.mark.parametrize(("built_in", "is_noise"), [("tiny", True), ("demo", False)])
def test_plan_on_a_cpu_makes_the_built_in_model_sets_only(built_in: str, is_noise: bool) -> None:
    plan = plan_of([tracks(100, min_vram=4)], "4x cpu", kind=model_set(built_in))
    assert plan.is_noise is is_noise
    assert plan.is_feasible
    assert plan.cost.total.expected == 0
    assert plan.alternatives == []
    other = plan_of([tracks(100)], "4x cpu")
    assert "the fleet has no GPU" in other.unfit[0].reason


def test_plan_uses_large_cards_for_small_tracks_but_not_the_reverse() -> None:
    catalog = [tracks(1_000, min_vram=12, duration=100), tracks(1_000, min_vram=24, duration=500)]
    small, mixed = plan_of(catalog, "1x RTX 3090"), plan_of(catalog, "1x RTX 3090, 9x RTX 3060")
    assert small.eta_seconds is not None
    assert mixed.eta_seconds is not None
    on_the_large = 1_000 * seconds(TrackShape(500, 8, False), gpu="RTX 3090", model_set=TURBO)
    assert mixed.eta_seconds.expected > on_the_large
    assert mixed.eta_seconds.expected < small.eta_seconds.expected
    assert mixed.cost.idle > 0, "the small cards wait for the end"


def test_plan_of_owned_machines_has_no_cost_and_no_boot() -> None:
    plan = plan_of([tracks(1_000)], "2x RTX 4090 @0")
    assert plan.cost.total.high == 0
    assert plan.groups[0].boot_hours == 0
    assert plan.alternatives, "renting more makes it faster"
    assert all(option.eta_seconds.expected < eta(plan) for option in plan.alternatives)
    assert any(option.fleet.startswith("2x RTX 4090 @0, ") for option in plan.alternatives)


def eta(plan: Plan) -> float:
    assert plan.eta_seconds is not None
    return plan.eta_seconds.expected


def test_alternatives_are_better_sorted_and_on_the_pareto_front() -> None:
    plan = plan_of([tracks(15_000)], "4x A40")
    assert 0 < len(plan.alternatives) <= 8
    costs = [option.cost.expected for option in plan.alternatives]
    etas = [option.eta_seconds.expected for option in plan.alternatives]
    assert costs == sorted(costs)
    assert etas == sorted(etas, reverse=True)
    for option in plan.alternatives:
        assert option.cost.expected < plan.cost.total.expected or (
            option.eta_seconds.expected < eta(plan)
        )
        agrees(option, [tracks(15_000)])


def agrees(option: FleetOption, catalog: list[ShapeCount]) -> None:
    """Assert that an option has the values of a plan for its fleet."""
    plan = plan_of(catalog, option.fleet)
    assert plan.eta_seconds == option.eta_seconds
    assert plan.cost.total == option.cost


def test_plan_names_a_fleet_that_keeps_the_deadline() -> None:
    catalog = [tracks(15_000)]
    plan = plan_of(catalog, "1x RTX 3090", deadline=3 * 3600)
    assert not plan.is_feasible
    verdict = plan.verdict
    assert verdict is not None
    assert (verdict.kept, verdict.deadline, verdict.budget) == (False, Chance.UNLIKELY, None)
    assert verdict.cheapest is not None
    agrees(verdict.cheapest, catalog)
    second_plan = plan_of(catalog, verdict.cheapest.fleet, deadline=3 * 3600)
    assert second_plan.is_feasible
    fewer = f"{int(verdict.cheapest.fleet.split('x')[0]) - 1}{verdict.cheapest.fleet[1:]}"
    assert not plan_of(catalog, fewer, deadline=3 * 3600).is_feasible


def test_plan_keeps_both_limits_together() -> None:
    catalog = [tracks(15_000)]
    wide = plan_of(catalog, deadline=3 * 3600, budget=20)
    assert wide.is_feasible
    assert wide.verdict is not None
    assert wide.verdict.fastest is not None
    assert wide.verdict.fastest.cost.high <= 20
    impossible = plan_of(catalog, deadline=600, budget=1)
    assert impossible.verdict is not None
    assert impossible.verdict.cheapest is impossible.verdict.fastest is None


def test_plan_keeps_a_limit_only_with_the_high_end() -> None:
    catalog = [tracks(15_000)]
    plan = plan_of(catalog)
    between = plan_of(catalog, deadline=eta(plan) * 1.1)
    assert between.verdict is not None
    assert between.verdict.deadline is Chance.UNSURE
    assert not between.is_feasible


def test_plan_with_measured_speeds_is_narrower() -> None:
    shape, rng = TrackShape(180, 8, False), random.Random(1)
    each = 2 * seconds(shape, gpu="RTX 4090", model_set=TURBO)

    def measured(gpu: str, kind: ModelSet) -> SpeedModel:
        model = SpeedModel(gpu, kind)
        for _ in range(200):
            model = model.observe(shape, each * rng.uniform(0.9, 1.1))
        return model

    catalog, fleet = demand_of([tracks(15_000)]), parse_fleet("6x RTX 4090 @0", PRICES)
    plan = planned(catalog, fleet, kind=TURBO, prices=PRICES, speed_of=measured)
    assert plan.eta_seconds is not None
    assert plan.eta_seconds.expected == pytest.approx(15_000 * each / 6, rel=0.02)
    assert plan.eta_seconds.high < 1.05 * plan.eta_seconds.expected
    group = plan.groups[0]
    assert (group.source, group.tracks_measured) == (SpeedSource.MEASURED, 200)
    assert group.relative_speed == pytest.approx(0.5, rel=0.1)
    assert plan.notes == []
