"""A submission as a Markdown table."""

from trackfarm_bench.submit.run import Submission


def table(result: Submission) -> str:
    rate = result.briefs / result.seconds
    rows = [
        ("briefs", f"{result.briefs:,} ({result.tracks:,} tracks stored), {result.database}"),
        ("seconds in all", f"{result.seconds:.1f} ({rate:,.0f} briefs a second)"),
        ("the same file again", f"{result.again:.1f} s, nothing added"),
        ("CPU of the client", f"{result.client_cpu:.1f} s"),
        ("CPU of the scheduler", f"{result.scheduler_cpu:.1f} s"),
        ("peak memory of the client", f"{result.client_mib:,.0f} MiB"),
        (
            "peak memory of the scheduler",
            f"{result.scheduler_mib:,.0f} MiB ({result.before_mib:,.0f} before)",
        ),
    ]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])
