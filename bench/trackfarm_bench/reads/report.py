"""Runs with both databases as one Markdown table."""

from collections.abc import Sequence
from statistics import quantiles

from trackfarm_bench.reads.run import ReadsResult


def table(results: Sequence[ReadsResult]) -> str:
    names = [result.plan.database for result in results]
    head = [
        "| p50 / p99 / longest, ms | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(results),
    ]
    rows = [_row(path, [r.reads[path] for r in results]) for path in results[0].reads]
    rows.append(
        _row("**all reads**", [[t for result in r.reads.values() for t in result] for r in results])
    )
    rows += [_row(name, [r.polls[name] for r in results]) for name in results[0].polls]
    about = [
        ("tracks a second meanwhile", [f"{r.made / r.seconds:.0f}" for r in results]),
        ("cores of the scheduler", [f"{r.cores:.2f}" for r in results]),
        ("load of the machine", [f"{r.load:.1f}" for r in results]),
    ]
    rows += [f"| {name} | " + " | ".join(values) + " |" for name, values in about]
    return "\n".join([*head, *rows])


def _row(name: str, each: Sequence[Sequence[float]]) -> str:
    return f"| {name} | " + " | ".join(map(_times, each)) + " |"


def _times(result: Sequence[float]) -> str:
    cuts = quantiles(result, n=100, method="inclusive")
    return f"{1000 * cuts[49]:.0f} / {1000 * cuts[98]:.0f} / {1000 * max(result):.0f}"
