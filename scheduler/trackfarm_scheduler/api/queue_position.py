"""Queue position and waiting time of calls in the interactive lane, by the cost model."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set, model_sets
from trackfarm_scheduler.db import calls, placement_view
from trackfarm_scheduler.db.calls import OpenCall
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.policy.models import WorkerPool

FRESH_SECONDS = 1.0
FALLBACK = "acestep-v15-turbo"  # the model that ACE-Step's own server loads by default


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Place of a call in the queue.

    `position` 0: in progress; 1: next. `seconds` until it is done, None if no worker serves its
    model set.
    """

    position: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class QueueForecast:
    """Snapshot of the queue. `models`: model sets of live workers, in the order of their table."""

    places: Mapping[str, QueuePosition] = field(default_factory=dict)
    models: Sequence[str] = ()
    pool: WorkerPool | None = None
    busy: Mapping[str, float] = field(default_factory=dict)
    last: int = 0

    def place_of(self, job_id: str, *, waits: bool) -> QueuePosition:
        """Return the place of a call; calls newer than the snapshot are last."""
        return self.places.get(job_id) or QueuePosition(self.last + 1 if waits else 0, None)

    def seconds_behind(self, name: str, tracks: int, shape: TrackShape) -> float | None:
        """Return the seconds until `tracks` more tracks at the end of the queue would be done."""
        own = _work(self.pool, name, tracks, shape) if self.pool is not None else None
        return None if own is None else self.busy.get(name, 0.0) + own


def forecast_queue(waiting: Sequence[OpenCall], pool: WorkerPool) -> QueueForecast:
    """Compute the queue of these calls, oldest first (pure).

    The workers of a model set share its work, which starts when the first of them has finished its
    present shards.
    """
    served = {worker.model_set for worker in pool.workers}
    busy = {
        name: min(worker.seconds_ahead for worker in pool.workers if worker.model_set == name)
        for name in served
    }
    places: dict[str, QueuePosition] = {}
    position = 0
    for call in waiting:
        position += call.is_waiting
        own = _work(pool, call.model_set, call.tracks, call.shape)
        if own is not None:
            busy[call.model_set] = own = busy[call.model_set] + own
        places[call.job_id] = QueuePosition(position if call.is_waiting else 0, own)
    return QueueForecast(
        places, [name for name in model_sets() if name in served], pool, busy, position
    )


def _work(pool: WorkerPool, name: str, tracks: int, shape: TrackShape) -> float | None:
    """Return the seconds that the workers of a model set together take for `tracks` tracks."""
    rate = pool.rate(name, [shape])
    return tracks / rate if rate else None


def default_model(chosen: str, served: Sequence[str]) -> str:
    """Return the model set of a call that names none (pure).

    It is the operator's choice, else the first that a live worker serves (a built-in one only if
    there is no other, and noise last), else ACE-Step's own default.
    """

    def rank(name: str) -> tuple[bool, bool]:
        row = model_set(name)
        return row.is_noise, row.is_built_in

    return chosen or min(served, key=rank, default=FALLBACK)


class QueueWatch:
    """Cache of the queue, refreshed at most once a second."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._line = QueueForecast()
        self._read_at = float("-inf")

    def now(self) -> QueueForecast:
        with self._lock:
            if not 0 <= self._clock() - self._read_at < FRESH_SECONDS:
                with self._database.read() as session:
                    self._line = forecast_queue(
                        calls.list_open(session), placement_view.load_worker_pool(session)
                    )
                self._read_at = self._clock()
            return self._line
