"""A run as a Markdown table."""

from collections.abc import Iterable

from trackfarm_bench.load.baseline import Baseline
from trackfarm_bench.load.run import LoadResult

CENTRAL = ("scheduler", "broker", "database")  # needed once per farm, not per worker


def table(result: LoadResult) -> str:
    outcome, plan = result.outcome, result.plan
    central = sum(outcome.cpu.get(name, 0.0) for name in CENTRAL)
    return _table(
        [
            ("workers", f"{plan.workers:,}"),
            ("tracks", f"{plan.tracks:,} in {outcome.shards:,} shards"),
            ("database", plan.database),
            ("tracks a second (steady)", f"{outcome.steady.rate:,.0f}"),
            ("offer to claim, p50 / p99", f"{outcome.wait(50):.2f} s / {outcome.wait(99):.2f} s"),
            *(
                (f"CPU of {name}", f"{spent:.2f} ms a track, {outcome.load[name]:.2f} cores")
                for name, spent in outcome.cpu.items()
            ),
            ("CPU of scheduler, broker and database", f"{central:.2f} ms a track"),
            *(
                (f"peak memory of {name}", f"{mib:,.0f} MiB")
                for name, mib in outcome.peak_mib.items()
            ),
            *(
                (f"{name}, all workers idle", f"{cores:.2f} cores")
                for name, cores in result.idle.items()
            ),
            ("verdicts", ", ".join(f"{n:,} {v}" for v, n in sorted(result.verdicts.items()))),
        ]
    )


def baseline_table(baseline: Baseline) -> str:
    total = sum(baseline.cpu.values())
    return _table(
        [
            ("tracks", f"{baseline.tracks:,}"),
            ("tracks a second", f"{baseline.rate:,.0f}"),
            *((f"CPU of {name}", f"{ms:.2f} ms a track") for name, ms in baseline.cpu.items()),
            ("CPU of all", f"{total:.2f} ms a track"),
        ]
    )


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])
