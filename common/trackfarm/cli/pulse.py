"""The data of `trackfarm top` (pure): a snapshot of the farm, its throughput, its alerts."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from trackfarm.api import FarmStatus, Job, JobState, Worker, WorkerState
from trackfarm.printable import clean
from trackfarm.words import attention, counted

WORKING = frozenset({WorkerState.READY, WorkerState.BUSY, WorkerState.DRAINING})
BARS = "▁▂▃▄▅▆▇█"
MEMORY = 60  # snapshots in the throughput chart
WINDOW_SECONDS = 60.0  # the current throughput is an average over this time
NEARLY_SPENT = 0.9  # share of a budget that raises an alert
LOST_SHOWN_SECONDS = 600.0  # same as in the metrics


@dataclass(frozen=True, slots=True)
class Look:
    """A snapshot of the farm; `at` is in seconds of a monotonic clock."""

    at: float
    status: FarmStatus
    jobs: Sequence[Job]
    workers: Sequence[Worker]

    @property
    def moving(self) -> list[Job]:
        return [job for job in self.jobs if not job.state.ended]

    @property
    def crew(self) -> list[Worker]:
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
        self._looks: deque[tuple[float, int]] = deque(maxlen=MEMORY)
        self.rates: deque[float] = deque(maxlen=MEMORY)

    def add(self, look: Look) -> float:
        """Add a snapshot and return the rate over the last minute.

        The first snapshot gives the rate that the farm reports for its unfinished jobs.
        """
        self._looks.append((look.at, look.status.tracks.done))
        recent = [(at, n) for at, n in self._looks if at >= look.at - WINDOW_SECONDS]
        (start, before), (end, after) = recent[0], recent[-1]
        if end > start:
            # The count of done tracks can fall (a retried job); the rate is never negative.
            rate = max(0.0, 3600 * (after - before) / (end - start))
        else:
            rate = sum(job.tracks_per_hour or 0.0 for job in look.moving)
        self.rates.append(rate)
        return rate


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the last `width` values as bars, scaled from zero to the largest."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return BARS[0] * len(shown)
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in shown)


def alerts(look: Look) -> list[str]:
    """Return the current problems, most urgent first."""
    messages = [] if look.status.broker_ok else ["the broker does not answer"]
    states = Counter(worker.state for worker in look.crew)
    for state in (WorkerState.LOST, WorkerState.QUARANTINED):
        if states[state]:
            messages.append(f"{counted(states[state], 'worker')} {state.value}")
    for job in look.moving:
        messages += [f"{job.id}: {text}" for text in (attention(job), _money(job)) if text]
    return messages


def _money(job: Job) -> str:
    if job.state is JobState.PAUSED or not job.budget or job.spent < NEARLY_SPENT * job.budget:
        return ""
    return f"${job.spent:,.2f} of the budget of ${job.budget:,.2f} is spent ({clean(job.catalog)})"
