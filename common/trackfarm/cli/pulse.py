"""The farm at a glance (pure): one look at it, what is made per hour, what needs an eye."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from trackfarm.api import FarmStatus, Job, JobState, Worker, WorkerState
from trackfarm.printable import clean
from trackfarm.words import attention, counted

WORKING = frozenset({WorkerState.READY, WorkerState.BUSY, WorkerState.DRAINING})
BARS = "▁▂▃▄▅▆▇█"
MEMORY = 60  # looks that the throughput is shown of
WINDOW_SECONDS = 60.0  # over which the present throughput is taken
NEARLY_SPENT = 0.9  # share of a budget
LOST_SHOWN_SECONDS = 600.0  # as long as in the metrics


@dataclass(frozen=True, slots=True)
class Look:
    """`at` in seconds of any steady clock."""

    at: float
    status: FarmStatus
    jobs: Sequence[Job]
    workers: Sequence[Worker]

    @property
    def moving(self) -> list[Job]:
        return [job for job in self.jobs if not job.state.ended]

    @property
    def crew(self) -> list[Worker]:
        """Without those that were lost long ago."""
        return [
            worker
            for worker in self.workers
            if worker.state is not WorkerState.LOST
            or worker.seconds_since_heartbeat < LOST_SHOWN_SECONDS
        ]

    @property
    def dollars_per_hour(self) -> float:
        """Prices of all workers that are here, idle or not."""
        return sum(w.price_per_hour for w in self.workers if w.state in WORKING)

    @property
    def spent(self) -> float:
        return sum(job.spent for job in self.jobs)


class Throughput:
    """Tracks per hour, from the number of done tracks at each look."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=MEMORY)
        self.rates: deque[float] = deque(maxlen=MEMORY)

    def add(self, look: Look) -> float:
        """The rate over the last minute; at the first look, what the farm says of its jobs."""
        self._looks.append((look.at, look.status.tracks.done))
        recent = [(at, n) for at, n in self._looks if at >= look.at - WINDOW_SECONDS]
        (began, before), (ended, after) = recent[0], recent[-1]
        if ended > began:
            # Tracks can vanish from the count (a retried job), which is no negative work.
            rate = max(0.0, 3600 * (after - before) / (ended - began))
        else:
            rate = sum(job.tracks_per_hour or 0.0 for job in look.moving)
        self.rates.append(rate)
        return rate


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values as bars between nothing and the largest."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return BARS[0] * len(shown)
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in shown)


def alerts(look: Look) -> list[str]:
    """What needs an eye now, most urgent first."""
    found = [] if look.status.broker_ok else ["the broker does not answer"]
    states = Counter(worker.state for worker in look.crew)
    for state in (WorkerState.LOST, WorkerState.QUARANTINED):
        if states[state]:
            found.append(f"{counted(states[state], 'worker')} {state.value}")
    for job in look.moving:
        found += [f"{job.id}: {text}" for text in (attention(job), _money(job)) if text]
    return found


def _money(job: Job) -> str:
    if job.state is JobState.PAUSED or not job.budget or job.spent < NEARLY_SPENT * job.budget:
        return ""
    return f"${job.spent:,.2f} of its budget of ${job.budget:,.2f} are spent ({clean(job.catalog)})"
