"""The view of `top` (pure): snapshots of the farm, its throughput, and the screen."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trackfarm.job_text import attention, tier_words
from trackfarm.protocol.operator import FarmStatus, JobInfo, JobState, WorkerInfo, WorkerState
from trackfarm.text import clean, counted, one_line, rate_words, time_words

WORKING = frozenset({WorkerState.READY, WorkerState.BUSY, WorkerState.DRAINING})
BARS = "▁▂▃▄▅▆▇█"
MAX_SNAPSHOTS = 60  # snapshots in the throughput chart
WINDOW_SECONDS = 60.0  # the current throughput is an average over this time
NEARLY_SPENT = 0.9  # share of a budget that raises an alert
LOST_SHOWN_SECONDS = 600.0  # same as in the metrics
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


@dataclass(frozen=True, slots=True)
class FarmSnapshot:
    """A snapshot of the farm; `at` is in seconds of a monotonic clock."""

    at: float
    status: FarmStatus
    jobs: Sequence[JobInfo]
    workers: Sequence[WorkerInfo]

    @property
    def unfinished_jobs(self) -> list[JobInfo]:
        return [job for job in self.jobs if not job.state.ended]

    @property
    def shown_workers(self) -> list[WorkerInfo]:
        """The workers, except any lost more than LOST_SHOWN_SECONDS ago."""
        return [
            worker
            for worker in self.workers
            if worker.state is not WorkerState.LOST
            or worker.seconds_since_heartbeat < LOST_SHOWN_SECONDS
        ]

    @property
    def dollars_per_hour(self) -> float:
        """Sum of the hourly prices of all connected workers, idle or not."""
        return sum(w.price_per_hour for w in self.workers if w.state in WORKING)

    @property
    def spent(self) -> float:
        return sum(job.spent for job in self.jobs)


class Throughput:
    """Tracks per hour, from the number of done tracks in each snapshot."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque(maxlen=MAX_SNAPSHOTS)
        self.rates: deque[float] = deque(maxlen=MAX_SNAPSHOTS)

    def add(self, snapshot: FarmSnapshot) -> float:
        """Add a snapshot and return the rate over the last minute.

        The first snapshot gives the rate that the farm reports for its unfinished jobs.
        """
        self._counts.append((snapshot.at, snapshot.status.tracks.done))
        recent = [(at, n) for at, n in self._counts if at >= snapshot.at - WINDOW_SECONDS]
        (start, before), (end, after) = recent[0], recent[-1]
        if end > start:
            # The count of done tracks can fall (a retried job); the rate is never negative.
            rate = max(0.0, 3600 * (after - before) / (end - start))
        else:
            rate = sum(job.tracks_per_hour or 0.0 for job in snapshot.unfinished_jobs)
        self.rates.append(rate)
        return rate


def picture(
    snapshot: FarmSnapshot,
    throughput: Throughput,
    *,
    width: int,
    height: int = ALL,
    outage: str = "",
) -> RenderableType:
    """Return the whole view; `outage` says why the snapshot is out of date."""
    free_lines = max(0, height - OTHER_LINES - bool(outage))
    urgent = alerts(snapshot)[: min(ALERTS_SHOWN, max(1, free_lines // 4))]
    free_lines = max(0, free_lines - len(urgent))
    jobs = snapshot.unfinished_jobs or snapshot.jobs[:1]
    jobs = jobs[: max(min(LEAST_JOBS, free_lines), free_lines - len(snapshot.shown_workers))]
    workers = sorted(snapshot.shown_workers, key=lambda worker: _URGENT.index(worker.state))
    workers = workers[: max(0, free_lines - len(jobs))]
    rows: list[RenderableType] = [*_head(snapshot, throughput, width)]
    if outage:
        rows.append(Text(one_line(outage, width), style="yellow"))
    rows += [Text(one_line(f"! {text}", width), style="bold red") for text in urgent]
    rows += [Text(), _jobs(jobs), Text(), _workers(workers)]
    hidden = len(snapshot.shown_workers) - len(workers)
    if hidden:
        rows.append(Text(f"and {counted(hidden, 'worker')} more", style="dim"))
    return Group(*rows)


def waiting(outage: str) -> RenderableType:
    return Text(outage, style="yellow")


def alerts(snapshot: FarmSnapshot) -> list[str]:
    """Return the current problems, most urgent first."""
    messages = [] if snapshot.status.broker_ok else ["the broker does not answer"]
    states = Counter(worker.state for worker in snapshot.shown_workers)
    for state in (WorkerState.LOST, WorkerState.QUARANTINED):
        if states[state]:
            messages.append(f"{counted(states[state], 'worker')} {state.value}")
    for job in snapshot.unfinished_jobs:
        messages += [f"{job.id}: {text}" for text in (attention(job), _money(job)) if text]
    return messages


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the last `width` values as bars, scaled from zero to the largest."""
    recent = list(values)[-width:]
    top = max(recent, default=0.0)
    if top <= 0:
        return BARS[0] * len(recent)
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in recent)


def _money(job: JobInfo) -> str:
    if job.state is JobState.PAUSED or not job.budget or job.spent < NEARLY_SPENT * job.budget:
        return ""
    return f"${job.spent:,.2f} of the budget of ${job.budget:,.2f} is spent ({clean(job.catalog)})"


def _head(snapshot: FarmSnapshot, throughput: Throughput, width: int) -> Sequence[RenderableType]:
    tracks, rates = snapshot.status.tracks, throughput.rates
    working = sum(worker.state in WORKING for worker in snapshot.shown_workers)
    spark = sparkline(rates, min(SPARK_WIDTH, max(10, width - 40)))
    return [
        Text(
            f"trackfarm {clean(snapshot.status.version)}: {counted(working, 'worker')} connected,"
            f" {counted(len(snapshot.unfinished_jobs), 'job')} unfinished",
            style="bold",
        ),
        Text(
            f"tracks: {tracks.done:,} done, {tracks.leased:,} being made,"
            f" {tracks.pending:,} waiting, {tracks.failed:,} failed"
        ),
        Text.assemble(rate_words(rates[-1] if rates else None), "  ", (spark, "green")),
        Text(
            f"money: ${snapshot.dollars_per_hour:,.2f} per hour for workers,"
            f" ${snapshot.spent:,.2f} spent"
        ),
    ]


def _jobs(jobs: Sequence[JobInfo]) -> Table:
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


def _workers(workers: Sequence[WorkerInfo]) -> Table:
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
