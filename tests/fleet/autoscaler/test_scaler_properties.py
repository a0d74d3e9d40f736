"""Invariants of the autoscaler in random situations."""

import math
from collections import Counter

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.fleet.scaling_builders import a_backlog, a_candidate, a_machine, carried_out
from trackfarm_fleet.autoscaler.estimates import estimate_completion, reserve
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
        a_backlog(row.seconds, vram=row.vram, each=row.longest or 1.0, waiting=waiting)
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
            ready_in=draw(st.sampled_from([0.0, 60.0, 900.0])),
            held=draw(st.sampled_from([0.0, 500.0, 5_000.0])),
            idle=draw(st.sampled_from([0.0, 60.0, 500.0])),
            draining=draw(st.booleans()) and draw(st.booleans()),
            stopped=draw(st.booleans()) and draw(st.booleans()),
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
            ready_in=draw(st.floats(30, 1_500)),
            region=draw(_places),
            count=draw(st.integers(1, 3)),
            min_bid=draw(st.none() | st.just(0.05)),
        )
        for number in range(draw(st.integers(least, 5)))
    ]


@st.composite
def _situations(draw: st.DrawFn) -> ScalingInput:
    return ScalingInput(
        draw(_backlogs()),
        draw(_machines()),
        draw(_candidates()),
        deadline=draw(st.none() | st.floats(0, 20_000)),
        budget=draw(st.none() | st.floats(0, 60)),
    )


@st.composite
def _renting_situations(draw: st.DrawFn) -> ScalingInput:
    """Much work, few machines and some money: most of these rent or bid, of all others one in 14."""
    tier = draw(_tiers)
    work = a_backlog(draw(st.floats(20_000, 200_000)), vram=tier, each=draw(st.floats(1, 60)))
    others = [backlog for backlog in draw(_backlogs()) if backlog.vram != tier]
    return ScalingInput(
        [work, *others],
        draw(_machines(most=2)),
        draw(_candidates(least=2)),
        deadline=draw(st.none() | st.floats(3_600, 20_000)),
        budget=draw(st.floats(2, 60)),
    )


_rules = st.builds(ScalingRules, st.integers(0, 2), st.integers(2, 7))
_some = settings(max_examples=80, deadline=None)


@_some
@given(_situations(), _rules)
def test_every_machine_is_told_once_and_why(situation: ScalingInput, rules: ScalingRules) -> None:
    decision = scale(situation, rules)
    counts = Counter(keep.tag for keep in decision.keep)
    counts.update(back.tag for back in decision.give_back)
    counts.update(bid.tag for bid in decision.bids)
    assert counts == Counter(m.tag for m in situation.machines)
    assert all(rent.reason for rent in decision.rent)
    assert all(back.reason for back in decision.give_back)
    draining = {m.tag for m in situation.machines if m.draining}
    assert not draining & {back.tag for back in decision.give_back}


@_some
@given(_situations(), _rules)
def test_nothing_is_rented_beyond_the_maximum(situation: ScalingInput, rules: ScalingRules) -> None:
    decision = scale(situation, rules)
    room = max(rules.max_machines - len(situation.machines), 0)
    assert len(decision.rent) <= room


@_some
@given(_situations(), _rules)
def test_no_offer_is_taken_more_often_than_it_is_there(
    situation: ScalingInput, rules: ScalingRules
) -> None:
    taken = Counter(rent.candidate.offer.id for rent in scale(situation, rules).rent)
    available = {c.offer.id: c.offer.count for c in situation.candidates}
    assert all(number <= available[name] for name, number in taken.items())


@_some
@given(_renting_situations(), _rules)
def test_what_is_rented_or_bid_for_fits_the_budget(
    situation: ScalingInput, rules: ScalingRules
) -> None:
    decision = scale(situation, rules)
    stopped = {m.tag for m in situation.machines if m.stopped}
    raised = [bid for bid in decision.bids if bid.tag in stopped]
    assume(decision.rent or raised)
    assert situation.budget is not None
    after = carried_out(situation, decision)
    staying = {m.tag for m in after.machines if not m.draining and not m.stopped}
    others = [m for m in situation.machines if m.tag not in staying]
    all_of_it = decision.cost + reserve(others, rules.drain + rules.tick)
    alone = [rent.candidate for rent in decision.rent] if not decision.bids else []
    if len(alone) == 1 and len(staying) == 1:  # for as long as the budget lasts
        seconds = alone[0].ready_in + rules.hold + rules.drain + rules.tick
        all_of_it = min(all_of_it, reserve(alone, seconds))
    assert all_of_it <= situation.budget + 1e-9


@_some
@given(_situations(), _rules)
def test_nothing_that_the_deadline_needs_is_given_back(
    situation: ScalingInput, rules: ScalingRules
) -> None:
    decision = scale(situation, rules)
    working = [m for m in situation.machines if not m.draining and not m.stopped]
    returned_tags = {back.tag for back in decision.give_back}
    idle = [m for m in working if m.tag in returned_tags and not _is_waited_for(m, situation)]
    out_of_money = situation.budget is not None and situation.budget <= reserve(
        situation.machines, rules.drain + rules.tick
    )
    assume(not out_of_money and not idle)
    target = rules.horizon if situation.deadline is None else situation.deadline
    before = estimate_completion(situation.backlog, working, drain=rules.drain).finish
    bids = {bid.tag for bid in decision.bids}
    remaining = [m for m in working if m.tag not in returned_tags | bids]
    raised = [m for m in carried_out(situation, decision).machines if m.tag not in returned_tags]
    after = estimate_completion(
        situation.backlog,
        remaining + [m for m in raised if m.tag in bids],
        drain=rules.drain,
    ).finish
    assert after <= max(before, target) * (1 + 1e-6) or math.isinf(before)


@_some
@given(_situations(), _rules)
def test_on_the_same_situation_nothing_flaps(situation: ScalingInput, rules: ScalingRules) -> None:
    """After a decision is carried out, the next one neither rents more nor returns the new
    machines."""
    first = scale(situation, rules)
    after = carried_out(situation, first, resume=rules.resume)
    second = scale(after, rules)
    assert second.rent == ()
    assert not [back for back in second.give_back if back.tag.startswith("new")]
    stopped = {m.tag for m in situation.machines if m.stopped}
    raised = {bid.tag for bid in first.bids} & stopped
    assert not raised & {back.tag for back in second.give_back}
    assert second.bids == ()


@_some
@given(_situations(), _rules)
def test_the_same_question_gets_the_same_answer(
    situation: ScalingInput, rules: ScalingRules
) -> None:
    assert scale(situation, rules) == scale(situation, rules)


def _is_waited_for(machine: MachineState, situation: ScalingInput) -> bool:
    return any(b.waiting and b.vram <= machine.vram for b in situation.backlog)
