"""A plan as tables and sentences."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from trackfarm.job_text import audio_note
from trackfarm.planning.models import (
    Chance,
    FleetOption,
    GroupShare,
    Interval,
    Money,
    Plan,
    SpeedSource,
    TierTracks,
)
from trackfarm.text import clean, counted, time_words


def plan_report(plan: Plan) -> Iterator[RenderableType]:
    """Yield the sections of the report, in order."""
    yield _summary(plan)
    yield _section("tracks by the smallest tier that can make them", _tiers(plan.tiers))
    if plan.groups:
        yield _section("the fleet", _groups(plan.groups))
    if plan.unfit:
        reasons = "\n".join(clean(unfit.reason) for unfit in plan.unfit)
        yield _section("does not fit", Text(reasons, style="red"))
    if plan.verdict is not None:
        yield _section("the limits", _verdict(plan))
    if plan.alternatives:
        heading = "other fleets that can make every track, cheapest first"
        yield _section(heading, _options(plan.alternatives, plan))
    expectation = audio_note(plan.model_set, is_noise=plan.is_noise)
    if notes := [*plan.notes, *filter(None, [expectation])]:
        yield _section("notes", Text("\n".join(map(clean, notes)), style="yellow"))


def _summary(plan: Plan) -> Table:
    card = Table(box=None, pad_edge=False, show_header=False)
    card.add_column(style="bold", no_wrap=True)
    card.add_column(overflow="fold")
    card.add_row("tracks", f"{plan.tracks:,}, {plan.audio_hours:,.1f} h of audio")
    card.add_row("model set", plan.model_set)
    card.add_row("fleet", clean(plan.fleet) or "no worker")
    if plan.eta_seconds is not None:
        card.add_row("done in", _times(plan.eta_seconds))
        hours = plan.gpu_hours
        between = f"({hours.low:,.2f} to {hours.high:,.2f})"
        card.add_row("GPU hours", f"{hours.expected:,.2f} {between}")
        card.add_row("cost", _cost_words(plan.cost))
        card.add_row("if bought", _bought_words(plan.cost))
    return card


def _cost_words(money: Money) -> str:
    if not money.total.expected:
        return "nothing: these are your own machines"
    parts = f"; work {_dollars(money.work)}, starting {_dollars(money.boot)}"
    each = "" if money.per_track is None else f"; ${money.per_track:.5f} a track"
    return f"{_dollar_span(money.total)}{parts}, idle {_dollars(money.idle)}{each}"


def _bought_words(money: Money) -> str:
    price = f"{_dollars(money.bought)} at ${money.bought_per_track:g} a track from a library"
    spent = money.total.expected
    return f"{price}, {money.bought / spent:,.0f} times as much" if spent else price


def _tiers(tiers: Sequence[TierTracks]) -> Table:
    table = _table("tier", ("tracks", "audio h", "GPU h"))
    for row in tiers:
        hours = "none fits" if row.gpu_hours is None else f"{row.gpu_hours:,.2f}"
        table.add_row(row.tier, f"{row.tracks:,}", f"{row.audio_hours:,.1f}", hours)
    return table


def _groups(groups: Sequence[GroupShare]) -> Table:
    numbers = ("GPUs", "$/h", "tracks", "work h", "start h", "idle h", "cost")
    table = _table("GPU", numbers, last="speed")
    for group in groups:
        hours = (group.work_hours, group.boot_hours, group.idle_hours)
        table.add_row(
            f"{clean(group.gpu)} ({group.tier})",
            f"{group.count:,}",
            f"{group.price:g}",
            f"{group.tracks:,}",
            *(f"{spent:,.2f}" for spent in hours),
            _dollars(group.cost),
            _source_words(group),
        )
    return table


def _source_words(group: GroupShare) -> str:
    if group.source is SpeedSource.MEASURED:
        tracks = counted(group.tracks_measured, "track")
        return f"measured ({tracks}): {group.relative_speed:.2f} of the prior"
    return "prior" if group.source is SpeedSource.PRIOR else "guessed: GPU not in the price table"


def _verdict(plan: Plan) -> Text:
    verdict, limits = plan.verdict, plan.limits
    assert verdict is not None
    answer = Text("yes\n" if verdict.kept else "no\n", style="green" if verdict.kept else "red")
    if verdict.deadline is not None and limits.deadline_seconds is not None:
        limit_words = time_words(limits.deadline_seconds)
        answer.append(
            f"deadline in {limit_words}: {_chance_words(verdict.deadline)}\n", style="default"
        )
    if verdict.budget is not None and limits.budget is not None:
        limit_words = _dollars(limits.budget)
        answer.append(
            f"budget of {limit_words}: {_chance_words(verdict.budget)}\n", style="default"
        )
    answer.append("\n".join(_keepers(verdict.cheapest, verdict.fastest)), style="default")
    return answer


def _chance_words(chance: Chance) -> str:
    return {
        Chance.LIKELY: "met with a probability of 90% or more",
        Chance.UNSURE: "expected to be met, but not at the high end of the range",
        Chance.UNLIKELY: "not met",
    }[chance]


def _keepers(cheapest: FleetOption | None, fastest: FleetOption | None) -> Iterator[str]:
    if cheapest is None:
        yield "no fleet of a single GPU type in the price table meets the limits"
    if cheapest is not None:
        yield f"cheapest fleet that meets the limits: {_option_words(cheapest)}"
    if fastest is not None and fastest != cheapest:
        yield f"fastest fleet that meets the limits: {_option_words(fastest)}"


def _option_words(option: FleetOption) -> str:
    return f"{option.fleet}, {_times(option.eta_seconds)}, {_dollar_span(option.cost)}"


def _options(options: Iterable[FleetOption], plan: Plan) -> Table:
    table = _table("fleet", ("done in", "up to", "cost", "up to "), last="than yours")
    for option in options:
        table.add_row(
            clean(option.fleet),
            time_words(option.eta_seconds.expected),
            time_words(option.eta_seconds.high),
            _dollars(option.cost.expected),
            _dollars(option.cost.high),
            _compared(option, plan),
        )
    return table


def _compared(option: FleetOption, plan: Plan) -> str:
    if plan.eta_seconds is None or plan.unfit:
        return "makes all tracks"
    cheaper = option.cost.expected < plan.cost.total.expected
    faster = option.eta_seconds.expected < plan.eta_seconds.expected
    return " and ".join(text for text, is_so in (("cheaper", cheaper), ("faster", faster)) if is_so)


def _times(span: Interval) -> str:
    return f"{time_words(span.expected)} ({time_words(span.low)} to {time_words(span.high)})"


def _dollar_span(span: Interval) -> str:
    return f"{_dollars(span.expected)} ({_dollars(span.low)} to {_dollars(span.high)})"


def _dollars(amount: float) -> str:
    return f"${amount:.4f}" if 0 < amount < 0.1 else f"${amount:,.2f}"


def _section(heading: str, body: RenderableType) -> Table:
    grid = Table.grid()
    grid.add_row("")
    grid.add_row(Text(heading, style="bold underline"))
    grid.add_row(body)
    return grid


def _table(first: str, numbers: Sequence[str], last: str | None = None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in numbers:
        table.add_column(heading, justify="right")
    if last is not None:
        table.add_column(last)
    return table
