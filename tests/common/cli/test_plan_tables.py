"""The report of a plan, as printed."""

from rich.console import Console

from trackfarm.cli.plan_tables import plan_report
from trackfarm.model_sets import model_set
from trackfarm.planning import (
    Plan,
    PlanLimits,
    ShapeCount,
    built_in_prices,
    demand_of,
    parse_fleet,
    plan,
)

TRACKS = [ShapeCount(duration=180, steps=8, guided=False, min_vram=16, count=700)]


def planned(fleet: str, name: str = "acestep-v15-turbo", limits: PlanLimits | None = None) -> Plan:
    prices = built_in_prices()
    groups = parse_fleet(fleet, prices)
    return plan(demand_of(TRACKS), groups, kind=model_set(name), prices=prices, limits=limits)


def printed(result: Plan) -> str:
    console = Console(width=200)
    with console.capture() as output:
        for part in plan_report(result):
            console.print(part)
    return output.get()


def test_plan_report_has_a_section_for_each_part() -> None:
    text = printed(planned("6x RTX 4090"))
    for heading in ("tracks by the smallest tier", "the fleet", "other fleets", "notes"):
        assert heading in text
    assert "700, 35.0 h of audio" in text
    assert "the limits" not in text


def test_plan_report_says_what_does_not_fit() -> None:
    result = planned("2x RTX 4090").model_copy(update={"groups": [], "alternatives": []})
    assert "does not fit" not in printed(result)
    small = printed(planned("1x cpu"))
    assert "does not fit" in small
    assert "700 tracks of 180 s need vram16; the fleet has no GPU" in small
    assert "none fits" in small


def test_plan_report_answers_the_limits() -> None:
    kept = printed(planned("6x RTX 4090", limits=PlanLimits(deadline_seconds=86_400, budget=100)))
    assert "yes" in kept
    assert "deadline in 1 d 0 h: met with a probability of 90% or more" in kept
    missed = printed(planned("1x RTX 4090", limits=PlanLimits(deadline_seconds=60)))
    assert "deadline in 60 s: not met" in missed


def test_plan_report_of_owned_machines_costs_nothing() -> None:
    assert "nothing: these are your own machines" in printed(planned("1x RTX 4090 @0"))
