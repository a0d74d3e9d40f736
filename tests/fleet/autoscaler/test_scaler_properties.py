"""Invariants of the autoscaler in random situations."""

import math
from collections import Counter

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.fleet.scaling_builders import a_backlog, a_candidate, a_machine, carried_out
from trackfarm_fleet.autoscaler.estimates import estimate_completion, fleet_cost, shutdown_cost
from trackfarm_fleet.autoscaler.models import (
    Backlog,
    Candidate,
    MachineState,
    ScalingInput,
    ScalingRules,
)
from trackfarm_fleet.autoscaler.scaler import scale

_seconds = st.just(0.0) | st.floats(1, 50_000)
_tiers = st.sampled_from([12, 24, 80])
_prices = st.floats(0.05, 5)
_speeds = st.floats(0.2, 5)
_places = st.sampled_from(["", "se", "us"])


@st.composite
def _backlogs(draw: st.DrawFn) -> list[Backlog]:
    tiers = draw(st.lists(_tiers, max_size=3, unique=True))
    rows = [a_backlog(draw(_seconds), vram=vram, each=draw(st.floats(1, 60))) for vram in tiers]
    return [
        a_backlog(row.seconds, vram=row.vram, each=row.longest_seconds or 1.0, waiting=waiting)
        for row in rows
        for waiting in [draw(st.sampled_from([row.tracks, row.tracks // 2, 0]))]
    ]


@st.composite
def _machines(draw: st.DrawFn, most: int = 5) -> list[MachineState]:
    return [
        a_machine(
            f"m{number}",
            vram=draw(_tiers),
            cards=draw(st.integers(1, 4)),
            speed=draw(_speeds),
            price_per_hour=draw(_prices),
            ready_in_seconds=draw(st.sampled_from([0.0, 60.0, 900.0])),
            age_seconds=draw(st.sampled_from([0.0, 500.0, 5_000.0])),
            idle_seconds=draw(st.sampled_from([0.0, 60.0, 500.0])),
            is_draining=draw(st.booleans()) and draw(st.booleans()),
            is_stopped=draw(st.booleans()) and draw(st.booleans()),
            bid=draw(st.none() | _prices),
            min_bid=draw(st.none() | _prices),
            region=draw(_places),
        )
        for number in range(draw(st.integers(0, most)))
    ]


@st.composite
def _candidates(draw: st.DrawFn, least: int = 0) -> list[Candidate]:
    return [
        a_candidate(
            f"c{number}",
            price=draw(_prices),
            speed=draw(_speeds),
            vram=draw(_tiers),
            ready_in_seconds=draw(st.floats(30, 1_500)),
            region=draw(_places),
            count=draw(st.integers(1, 3)),
            min_bid=draw(st.none() | st.just(0.05)),
        )
        for number in range(draw(st.integers(least, 5)))
    ]


@st.composite
def _inputs(draw: st.DrawFn) -> ScalingInput:
    return ScalingInput(
        draw(_backlogs()),
        draw(_machines()),
        draw(_candidates()),
        deadline_seconds=draw(st.none() | st.floats(0, 20_000)),
        budget=draw(st.none() | st.floats(0, 60)),
    )


@st.composite
def _renting_inputs(draw: st.DrawFn) -> ScalingInput:
    """Much work, few machines and some money: most of these rent or bid, of all others one in 14."""
    tier = draw(_tiers)
    work = a_backlog(draw(st.floats(20_000, 200_000)), vram=tier, each=draw(st.floats(1, 60)))
    others = [backlog for backlog in draw(_backlogs()) if backlog.vram != tier]
    return ScalingInput(
        [work, *others],
        draw(_machines(most=2)),
        draw(_candidates(least=2)),
        deadline_seconds=draw(st.none() | st.floats(3_600, 20_000)),
        budget=draw(st.floats(2, 60)),
    )


_rules = st.builds(ScalingRules, st.integers(0, 2), st.integers(2, 7))
_some = settings(max_examples=80, deadline=None)


@_some
@given(_inputs(), _rules)
def test_scale_lists_every_machine_once_with_a_reason(
    inputs: ScalingInput, rules: ScalingRules
) -> None:
    decision = scale(inputs, rules)
    counts = Counter(keep.tag for keep in decision.keep)
    counts.update(release.tag for release in decision.release)
    counts.update(bid.tag for bid in decision.bid_changes)
    assert counts == Counter(m.tag for m in inputs.machines)
    assert all(rent.reason for rent in decision.rent)
    assert all(release.reason for release in decision.release)
    is_draining = {m.tag for m in inputs.machines if m.is_draining}
    assert not is_draining & {release.tag for release in decision.release}


@_some
@given(_inputs(), _rules)
def test_scale_rents_at_most_the_maximum(inputs: ScalingInput, rules: ScalingRules) -> None:
    decision = scale(inputs, rules)
    room = max(rules.max_machines - len(inputs.machines), 0)
    assert len(decision.rent) <= room


@_some
@given(_inputs(), _rules)
def test_scale_takes_no_offer_more_often_than_available(
    inputs: ScalingInput, rules: ScalingRules
) -> None:
    taken = Counter(rent.candidate.offer.id for rent in scale(inputs, rules).rent)
    available = {c.offer.id: c.offer.count for c in inputs.candidates}
    assert all(number <= available[name] for name, number in taken.items())


@_some
@given(_renting_inputs(), _rules)
def test_scale_stays_within_the_budget(inputs: ScalingInput, rules: ScalingRules) -> None:
    decision = scale(inputs, rules)
    is_stopped = {m.tag for m in inputs.machines if m.is_stopped}
    raised = [bid for bid in decision.bid_changes if bid.tag in is_stopped]
    assume(decision.rent or raised)
    assert inputs.budget is not None
    after = carried_out(inputs, decision)
    staying = {m.tag for m in after.machines if not m.is_draining and not m.is_stopped}
    others = [m for m in inputs.machines if m.tag not in staying]
    all_of_it = decision.cost + shutdown_cost(others, rules)
    alone = [rent.candidate for rent in decision.rent] if not decision.bid_changes else []
    if len(alone) == 1 and len(staying) == 1:  # for as long as the budget lasts
        seconds = (
            alone[0].ready_in_seconds
            + rules.min_hold_seconds
            + rules.drain_seconds
            + rules.tick_seconds
        )
        all_of_it = min(all_of_it, fleet_cost(alone, seconds))
    assert all_of_it <= inputs.budget + 1e-9


@_some
@given(_inputs(), _rules)
def test_scale_releases_nothing_that_the_deadline_needs(
    inputs: ScalingInput, rules: ScalingRules
) -> None:
    decision = scale(inputs, rules)
    working = [m for m in inputs.machines if not m.is_draining and not m.is_stopped]
    returned_tags = {release.tag for release in decision.release}
    idle = [m for m in working if m.tag in returned_tags and not _has_waiting_tracks(m, inputs)]
    is_out_of_money = inputs.budget is not None and inputs.budget <= shutdown_cost(
        inputs.machines, rules
    )
    assume(not is_out_of_money and not idle)
    target = rules.horizon_seconds if inputs.deadline_seconds is None else inputs.deadline_seconds
    before = estimate_completion(inputs.backlog, working, rules).finish_seconds
    bid_tags = {bid.tag for bid in decision.bid_changes}
    remaining = [m for m in working if m.tag not in returned_tags | bid_tags]
    raised = [m for m in carried_out(inputs, decision).machines if m.tag not in returned_tags]
    after = estimate_completion(
        inputs.backlog,
        remaining + [m for m in raised if m.tag in bid_tags],
        rules,
    ).finish_seconds
    assert after <= max(before, target) * (1 + 1e-6) or math.isinf(before)


@_some
@given(_inputs(), _rules)
def test_scale_does_not_flap_on_its_own_decision(inputs: ScalingInput, rules: ScalingRules) -> None:
    """After a decision is carried out, the next one neither rents more nor returns the new
    machines."""
    first = scale(inputs, rules)
    after = carried_out(inputs, first, restart_seconds=rules.restart_seconds)
    second = scale(after, rules)
    assert second.rent == ()
    assert not [release for release in second.release if release.tag.startswith("new")]
    is_stopped = {m.tag for m in inputs.machines if m.is_stopped}
    raised = {bid.tag for bid in first.bid_changes} & is_stopped
    assert not raised & {release.tag for release in second.release}
    assert second.bid_changes == ()


@_some
@given(_inputs(), _rules)
def test_scale_is_deterministic(inputs: ScalingInput, rules: ScalingRules) -> None:
    assert scale(inputs, rules) == scale(inputs, rules)


def _has_waiting_tracks(machine: MachineState, inputs: ScalingInput) -> bool:
    return any(b.waiting and b.vram <= machine.vram for b in inputs.backlog)
