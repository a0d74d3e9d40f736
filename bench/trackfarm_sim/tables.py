"""Trials as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from trackfarm_sim.outcome import SimOutcome
from trackfarm_sim.replications import Replication
from trackfarm_sim.scenario import SimScenario

COLUMNS = ("time", "bound", "worst", "busy", "waste", "cost", "queue", "most", "failed", "lost")


def table_of(replications: Sequence[Replication]) -> Table:
    """Return one row per policy, with means over its seeds. `bound` and `worst`: makespan over the
    lower bound; `queue` and `most`: tasks in all queues, on average and at most; `lost`: preempted
    machines."""
    table = Table(Column("policy", no_wrap=True), box=SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for replication in replications:
        table.add_row(replication.policy, *_cells(replication))
    return table


def _cells(replication: Replication) -> list[str]:
    return [
        clock(replication.mean(lambda o: o.makespan)),
        f"{replication.mean(_ratio):.3f}",
        f"{replication.most(_ratio):.3f}",
        f"{replication.mean(lambda o: o.busy):.1%}",
        f"{replication.mean(lambda o: o.waste):.2%}",
        f"${replication.mean(lambda o: o.cost):.2f}",
        f"{replication.mean(lambda o: o.depth):.0f}",
        f"{replication.most(lambda o: o.deepest):.0f}",
        f"{replication.mean(lambda o: o.failed):g}",
        f"{replication.mean(lambda o: o.preemptions):.1f}",
    ]


def _ratio(outcome: SimOutcome) -> float:
    return outcome.ratio


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def as_json(scenario: SimScenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """Return all results, run by run."""
    return {
        "scenario": asdict(scenario),
        "trials": [
            {
                "policy": replication.policy,
                "mean_ratio": replication.mean(_ratio),
                "mean_waste": replication.mean(lambda o: o.waste),
                "runs": [_run(outcome) for outcome in replication.outcomes],
            }
            for replication in replications
        ],
    }


def _run(outcome: SimOutcome) -> dict[str, Any]:
    return asdict(outcome) | {"ratio": outcome.ratio, "waste": outcome.waste}
