"""A run as a Markdown table."""

from trackfarm_bench.load.run import Result


def table(result: Result) -> str:
    outcome, plan = result.outcome, result.plan
    rows = [
        ("workers", f"{plan.workers:,}"),
        ("tracks", f"{plan.tracks:,} in {outcome.shards:,} shards"),
        ("database", plan.database),
        ("tracks a second (steady)", f"{outcome.steady.rate:,.0f}"),
        ("offer to claim, p50 / p99", f"{outcome.wait(50):.2f} s / {outcome.wait(99):.2f} s"),
        *(
            (f"CPU of {n}", f"{ms:.2f} ms a track, {outcome.load[n]:.2f} cores")
            for n, ms in outcome.cpu.items()
        ),
        *((f"peak memory of {n}", f"{mib:,.0f} MiB") for n, mib in outcome.peak_mib.items()),
        *((f"idle CPU of {n}", f"{cores:.2f} cores") for n, cores in result.idle.items()),
        ("verdicts", ", ".join(f"{n:,} {v}" for v, n in sorted(result.verdicts.items()))),
    ]
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines)
