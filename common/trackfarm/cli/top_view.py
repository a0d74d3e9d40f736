"""The screen of `top`: a header, alerts, jobs and workers, as many as fit."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trackfarm.api import Job, Worker, WorkerState
from trackfarm.cli.pulse import WORKING, Look, Throughput, alerts, sparkline
from trackfarm.printable import clean
from trackfarm.words import counted, one_line, rate_words, tier_words, time_words

ALERTS_SHOWN = 4
LEAST_JOBS = 3
OTHER_LINES = 9  # header, two gaps, two headings, and the count of hidden workers
ALL = 10_000  # lines, for output that is not a screen
SPARK_WIDTH = 40
COLOURS = {
    WorkerState.BUSY: "green",
    WorkerState.LOST: "red",
    WorkerState.QUARANTINED: "red",
    WorkerState.DRAINING: "yellow",
}
_URGENT = (
    WorkerState.LOST,
    WorkerState.QUARANTINED,
    WorkerState.BUSY,
    WorkerState.DRAINING,
    WorkerState.READY,
    WorkerState.JOINING,
)


def waiting(trouble: str) -> RenderableType:
    return Text(trouble, style="yellow")


def picture(
    look: Look, throughput: Throughput, *, width: int, height: int = ALL, trouble: str = ""
) -> RenderableType:
    """Return the whole view; `trouble` says why the snapshot is out of date."""
    free_lines = max(0, height - OTHER_LINES - bool(trouble))
    urgent = alerts(look)[: min(ALERTS_SHOWN, max(1, free_lines // 4))]
    free_lines = max(0, free_lines - len(urgent))
    jobs = look.moving or look.jobs[:1]
    jobs = jobs[: max(min(LEAST_JOBS, free_lines), free_lines - len(look.crew))]
    workers = sorted(look.crew, key=lambda worker: _URGENT.index(worker.state))
    workers = workers[: max(0, free_lines - len(jobs))]
    rows: list[RenderableType] = [*_head(look, throughput, width)]
    if trouble:
        rows.append(Text(one_line(trouble, width), style="yellow"))
    rows += [Text(one_line(f"! {text}", width), style="bold red") for text in urgent]
    rows += [Text(), _jobs(jobs), Text(), _workers(workers)]
    hidden = len(look.crew) - len(workers)
    if hidden:
        rows.append(Text(f"and {counted(hidden, 'worker')} more", style="dim"))
    return Group(*rows)


def _head(look: Look, throughput: Throughput, width: int) -> Sequence[RenderableType]:
    tracks, rates = look.status.tracks, throughput.rates
    working = sum(worker.state in WORKING for worker in look.crew)
    spark = sparkline(rates, min(SPARK_WIDTH, max(10, width - 40)))
    return [
        Text(
            f"trackfarm {clean(look.status.version)}: {counted(working, 'worker')} connected,"
            f" {counted(len(look.moving), 'job')} unfinished",
            style="bold",
        ),
        Text(
            f"tracks: {tracks.done:,} done, {tracks.leased:,} being made,"
            f" {tracks.pending:,} waiting, {tracks.failed:,} failed"
        ),
        Text.assemble(rate_words(rates[-1] if rates else None), "  ", (spark, "green")),
        Text(
            f"money: ${look.dollars_per_hour:,.2f} per hour for workers, ${look.spent:,.2f} spent"
        ),
    ]


def _jobs(jobs: Sequence[Job]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for heading in ("job", "catalog", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("done", "tracks", "failed", "tracks/h", "ETA", "spent"):
        table.add_column(heading, justify="right", no_wrap=True)
    for job in jobs:
        table.add_row(
            job.id,
            one_line(job.catalog, 24),
            job.state.value,
            f"{job.tracks.done / max(1, job.tracks.total):.0%}",
            f"{job.tracks.total:,}",
            f"{job.tracks.failed:,}",
            "" if job.tracks_per_hour is None else f"{job.tracks_per_hour:,.0f}",
            "" if job.eta_seconds is None else time_words(job.eta_seconds),
            f"${job.spent:,.2f}" if job.budget is None else f"${job.spent:,.2f}/{job.budget:,.2f}",
        )
    return table


def _workers(workers: Sequence[Worker]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for heading in ("worker", "state", "gpu", "tier", "model set", "provider"):
        table.add_column(heading, no_wrap=True)
    for heading in ("shards", "done", "failed", "$/h", "seen"):
        table.add_column(heading, justify="right", no_wrap=True)
    for worker in workers:
        table.add_row(
            one_line(worker.name or worker.id, 24),
            Text(worker.state.value, style=COLOURS.get(worker.state, "")),
            one_line(worker.gpu, 24),
            tier_words(worker),
            one_line(worker.model_set, 24),
            one_line(worker.provider, 12),
            str(worker.shards),
            f"{worker.tracks_done:,}",
            f"{worker.tracks_failed:,}",
            f"{worker.price_per_hour:,.2f}",
            f"{time_words(worker.seconds_since_heartbeat)} ago",
        )
    return table
