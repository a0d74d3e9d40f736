"""Episodes as a table and as JSON."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from trackfarm_fleet.billing.ledger import CostCategory
from trackfarm_sim.market.episode import Episode, EpisodeOutcome
from trackfarm_sim.tables import clock

_Value = Callable[[EpisodeOutcome], float]
_Format = Callable[[float], str]


def table_of(outcomes: Sequence[EpisodeOutcome]) -> Table:
    """Return the mean and the worst episode of each number."""
    table = Table("", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("mean", justify="right")
    table.add_column("worst", justify="right")
    for name, value_of, text_of in _ROWS:
        values = [value_of(outcome) for outcome in outcomes]
        table.add_row(name, text_of(fmean(values)), text_of(max(values)))
    table.add_row(*_over_the_oracle(outcomes))
    in_time = sum(outcome.is_in_time for outcome in outcomes)
    table.add_row("in time", f"{in_time} of {len(outcomes)}", "")
    table.add_row("rentals", _rentals_text(outcomes), "", style="dim")
    return table


def as_json(episode: Episode, outcomes: Sequence[EpisodeOutcome]) -> dict[str, Any]:
    """Return all results, episode by episode."""
    return {
        "scenario": asdict(episode.scenario),
        "options": asdict(episode.options),
        "market": episode.market.model_dump(mode="json"),
        "in_time": sum(outcome.is_in_time for outcome in outcomes),
        "mean_cost": fmean(outcome.cost for outcome in outcomes),
        "mean_market_ratio": fmean(outcome.market_ratio for outcome in outcomes),
        "mean_offline_ratio": fmean(outcome.offline_ratio for outcome in outcomes),
        "mean_oracle_ratio": _mean_of_known(o.oracle_ratio for o in outcomes),
        "episodes": [_outcome_document(outcome) for outcome in outcomes],
    }


def _outcome_document(outcome: EpisodeOutcome) -> dict[str, Any]:
    return asdict(outcome) | {
        "in_time": outcome.is_in_time,
        "offline_ratio": outcome.offline_ratio,
        "market_ratio": outcome.market_ratio,
        "oracle_ratio": outcome.oracle_ratio,
    }


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _over_the_oracle(outcomes: Sequence[EpisodeOutcome]) -> tuple[str, str, str]:
    """Summarize the episodes in which a plan of the oracle was in time."""
    name = "over the oracle on the same market"
    ratios = [r for outcome in outcomes if (r := outcome.oracle_ratio) is not None]
    return (name, _times(fmean(ratios)), _times(max(ratios))) if ratios else (name, "", "")


def _rentals_text(outcomes: Sequence[EpisodeOutcome]) -> str:
    """Return the average number of machines of each GPU type in an episode, the most frequent
    first."""
    gpus: Counter[str] = Counter()
    for outcome in outcomes:
        gpus.update(outcome.rentals)
    parts = (f"{count / len(outcomes):.1f} {gpu}" for gpu, count in gpus.most_common())
    return ", ".join(parts)


def _spent(category: CostCategory) -> tuple[str, _Value, _Format]:
    return f"  {category.value}", lambda outcome: outcome.spent[category.value], _money


def _excess(category: CostCategory) -> tuple[str, _Value, _Format]:
    """Return a row with the $ spent on a category beyond the oracle's."""

    def over(outcome: EpisodeOutcome) -> float:
        if not outcome.oracle:
            return 0.0
        return outcome.spent[category.value] - outcome.oracle[category.value]

    return f"  more {category.value} than the oracle", over, _money


def _money(amount: float) -> str:
    return f"${amount:.2f}"


def _times(ratio: float) -> str:
    return f"{ratio:.3f}"


def _number(value: float) -> str:
    return f"{value:.1f}"


_ROWS: Sequence[tuple[str, _Value, _Format]] = (
    ("time", lambda outcome: outcome.makespan, clock),
    ("cost", lambda outcome: outcome.cost, _money),
    *map(_spent, CostCategory),
    ("over knowing the market's future", lambda outcome: outcome.market_ratio, _times),
    ("over knowing every machine's speed too", lambda outcome: outcome.offline_ratio, _times),
    *map(_excess, CostCategory),
    ("outbid", lambda outcome: float(outcome.outbids), _number),
    ("died", lambda outcome: float(outcome.losses), _number),
    ("refused", lambda outcome: float(outcome.refusals), _number),
)
