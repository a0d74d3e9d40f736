"""Who waits before whom, and for how long: the interactive lane in order, by the cost model."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set, model_sets
from trackfarm_scheduler.store import calls, outlook
from trackfarm_scheduler.store.calls import OpenCall
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.outlook import Crew

FRESH_SECONDS = 1.0
FALLBACK = "acestep-v15-turbo"  # what ACE-Step's own server loads when it is told nothing


@dataclass(frozen=True, slots=True)
class Place:
    """`position` 0: it is being made; 1: it is next. `seconds` until it is done, None where no
    worker makes such tracks."""

    position: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """The lane at one moment. `models`: what live workers serve, in the order of the table."""

    places: Mapping[str, Place] = field(default_factory=dict)
    models: Sequence[str] = ()
    crew: Crew | None = None
    busy: Mapping[str, float] = field(default_factory=dict)
    last: int = 0

    def place_of(self, job_id: str, *, waits: bool) -> Place:
        """Whoever came after this moment is behind all others."""
        return self.places.get(job_id) or Place(self.last + 1 if waits else 0, None)

    def seconds_behind(self, name: str, tracks: int, shape: TrackShape) -> float | None:
        """Until so many more tracks at the end of the line are done."""
        own = _work(self.crew, name, tracks, shape) if self.crew is not None else None
        return None if own is None else self.busy.get(name, 0.0) + own


def lined_up(waiting: Sequence[OpenCall], crew: Crew) -> Line:
    """The line of these calls, oldest first (pure). All workers of a model set share its work; what
    they were given before is waited for until the first of them is free."""
    served = {desk.model_set for desk in crew.desks}
    busy = {
        name: min(desk.seconds_ahead for desk in crew.desks if desk.model_set == name)
        for name in served
    }
    places: dict[str, Place] = {}
    position = 0
    for call in waiting:
        position += call.is_waiting
        own = _work(crew, call.model_set, call.tracks, call.shape)
        if own is not None:
            busy[call.model_set] = own = busy[call.model_set] + own
        places[call.job_id] = Place(position if call.is_waiting else 0, own)
    return Line(places, [name for name in model_sets() if name in served], crew, busy, position)


def _work(crew: Crew, name: str, tracks: int, shape: TrackShape) -> float | None:
    """Seconds that all workers of a model set take for so many tracks."""
    rate = crew.rate(name, [shape])
    return tracks / rate if rate else None


def default_model(chosen: str, served: Sequence[str]) -> str:
    """The model set of a call that names none: the operator's choice, else the first that a live
    worker serves (one that makes noise only where there is no other), else ACE-Step's own (pure)."""
    music = [name for name in served if not model_set(name).is_noise]
    return chosen or next(iter([*music, *served]), FALLBACK)


class LineWatch:
    """Looks at the line at most once a second, however many ask."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = Line()
        self._seen_at = float("-inf")

    def now(self) -> Line:
        with self._lock:
            if not 0 <= self._clock() - self._seen_at < FRESH_SECONDS:
                with self._database.read() as session:
                    self._seen = lined_up(calls.open_calls(session), outlook.crew(session))
                self._seen_at = self._clock()
            return self._seen
