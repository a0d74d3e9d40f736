"""Seasons as a table and as JSON."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from trackfarm_fleet.billing.ledger import CostCategory
from trackfarm_sim.market.episode import Season, SeasonOutcome
from trackfarm_sim.tables import clock

Of = Callable[[SeasonOutcome], float]


def table_of(outcomes: Sequence[SeasonOutcome]) -> Table:
    """Return the mean and the worst season of each number."""
    table = Table("", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("mean", justify="right")
    table.add_column("worst", justify="right")
    for name, of, words in _ROWS:
        values = [of(outcome) for outcome in outcomes]
        table.add_row(name, words(fmean(values)), words(max(values)))
    table.add_row(*_over_the_clairvoyant(outcomes))
    in_time = sum(outcome.is_in_time for outcome in outcomes)
    table.add_row("in time", f"{in_time} of {len(outcomes)}", "")
    table.add_row("rentals", _kinds(outcomes), "", style="dim")
    return table


def _over_the_clairvoyant(outcomes: Sequence[SeasonOutcome]) -> tuple[str, str, str]:
    """Summarize the seasons in which a plan of the oracle was in time."""
    name = "over a clairvoyant on the same market"
    ratios = [r for outcome in outcomes if (r := outcome.clairvoyant_ratio) is not None]
    return (name, _times(fmean(ratios)), _times(max(ratios))) if ratios else (name, "", "")


def _excess(use: str) -> tuple[str, Of, Callable[[float], str]]:
    """Return a row with the $ spent on a category beyond the oracle's."""

    def over(outcome: SeasonOutcome) -> float:
        return outcome.spent[use] - outcome.clairvoyant[use] if outcome.clairvoyant else 0.0

    return f"  more {use} than a clairvoyant", over, _money


def _kinds(outcomes: Sequence[SeasonOutcome]) -> str:
    """Return the average number of machines of each GPU type in a season, the most frequent
    first."""
    kinds: Counter[str] = Counter()
    for outcome in outcomes:
        kinds.update(outcome.rentals)
    parts = (f"{count / len(outcomes):.1f} {gpu}" for gpu, count in kinds.most_common())
    return ", ".join(parts)


def _money(amount: float) -> str:
    return f"${amount:.2f}"


def _times(ratio: float) -> str:
    return f"{ratio:.3f}"


def _number(value: float) -> str:
    return f"{value:.1f}"


def _spent(use: str) -> tuple[str, Of, Callable[[float], str]]:
    return f"  {use}", lambda o: o.spent[use], _money


_ROWS: Sequence[tuple[str, Of, Callable[[float], str]]] = (
    ("time", lambda o: o.makespan, clock),
    ("cost", lambda o: o.cost, _money),
    _spent("work"),
    _spent("boot"),
    _spent("idle"),
    _spent("waste"),
    ("over knowing the market's future", lambda o: o.forecast_ratio, _times),
    ("over knowing every machine's speed too", lambda o: o.ratio, _times),
    *(_excess(use.value) for use in CostCategory),
    ("outbid", lambda o: float(o.outbids), _number),
    ("died", lambda o: float(o.losses), _number),
    ("refused", lambda o: float(o.refusals), _number),
)


def as_json(season: Season, outcomes: Sequence[SeasonOutcome]) -> dict[str, Any]:
    """Return all results, season by season."""
    return {
        "scenario": asdict(season.scenario),
        "wishes": asdict(season.wishes),
        "habits": season.habits.model_dump(mode="json"),
        "in_time": sum(outcome.is_in_time for outcome in outcomes),
        "mean_cost": fmean(outcome.cost for outcome in outcomes),
        "mean_forecast_ratio": fmean(outcome.forecast_ratio for outcome in outcomes),
        "mean_ratio": fmean(outcome.ratio for outcome in outcomes),
        "mean_clairvoyant_ratio": _mean_of_known(o.clairvoyant_ratio for o in outcomes),
        "seasons": [_season(outcome) for outcome in outcomes],
    }


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _season(outcome: SeasonOutcome) -> dict[str, Any]:
    return asdict(outcome) | {
        "in_time": outcome.is_in_time,
        "ratio": outcome.ratio,
        "forecast_ratio": outcome.forecast_ratio,
        "clairvoyant_ratio": outcome.clairvoyant_ratio,
    }
