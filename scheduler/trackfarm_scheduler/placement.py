"""Which tracks go to which worker, and in shards of what size: pure, decided anew each tick.

Shards are cut by expected seconds, not by count, and shrink towards the end of the work (guided
self-scheduling), so that no worker is left with a large one while the others have none. Idle
workers come first, among them the smaller cards; a big card first takes what only it can make.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from trackfarm.cost import TrackShape
from trackfarm_scheduler.precedence import Lane, Standing, rank

SHARDS_AHEAD = 2  # per worker: one computes, one waits; a shard being finished does not count
GUIDED_SHARE = 2.0  # a shard is at most this fraction of what is left for each worker


@dataclass(frozen=True, slots=True)
class WaitingTrack:
    """`alone`: it broke an engine, so its next shard holds nothing else. `avoid`: workers that
    have failed it and get it again only when nobody else could make it."""

    id: int
    shape: TrackShape
    min_vram: int
    alone: bool = False
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class JobView:
    """Pending tracks of one moving job, in order. `waiting` counts all of them, also those beyond
    the window that was loaded. `affordable` is what its budget still allows, in dollars."""

    id: str
    model_set: str
    standing: Standing
    tracks: Sequence[WaitingTrack]
    waiting: int
    affordable: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerView:
    """`shards` and `seconds_ahead` are what it has been given and has not computed yet; `seconds`
    prices one track on it. `tier` is a name, `price` dollars per hour."""

    id: str
    queue: str
    tier: str
    vram: int
    model_set: str
    shards: int
    seconds_ahead: float
    max_tracks: int
    seconds: Callable[[TrackShape], float]
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class NewShard:
    worker_id: str
    queue: str
    job_id: str
    track_ids: tuple[int, ...]
    expected_seconds: float


class Room(StrEnum):
    """What a worker may be given now."""

    FULL = "full"
    INTERACTIVE_ONLY = "interactive_only"
    OPEN = "open"


def shard_budget(*, work: float, workers: int, longest: float) -> float:
    """Seconds that one shard may take when `work` seconds are left for `workers` workers."""
    return min(longest, work / (GUIDED_SHARE * max(workers, 1)))


def place(
    jobs: Iterable[JobView],
    workers: Iterable[WorkerView],
    *,
    shard_seconds: float,
    reserved: Mapping[str, int] | None = None,
    now: float = 0.0,
    crowd: Mapping[str, int] | None = None,
) -> list[NewShard]:
    """The shards to offer now. `reserved` names how many workers of a tier long jobs leave free
    for the interactive lane; `crowd` how many workers of each model set there are, where
    `workers` are only those with room."""
    desks = [_Desk(worker) for worker in workers]
    sizes = crowd or Counter(desk.worker.model_set for desk in desks)
    pools = [_Pool(job) for job in jobs if job.tracks]
    _reserve(desks, reserved or {})
    shards: list[NewShard] = []
    for ahead in range(SHARDS_AHEAD):
        for desk in sorted(desks, key=_Desk.order):
            if desk.shards == ahead and desk.room is not Room.FULL:
                longest = _Longest(shard_seconds, sizes[desk.worker.model_set])
                shard = _next_shard(pools, desk, desks, longest, now)
                if shard is not None:
                    desk.take(shard)
                    shards.append(shard)
    return shards


@dataclass(frozen=True, slots=True)
class _Longest:
    """How long a shard may be, by what is left for how many workers."""

    seconds: float
    workers: int

    def of(self, work: float) -> float:
        return shard_budget(work=work, workers=self.workers, longest=self.seconds)


@dataclass(slots=True)
class _Desk:
    """A worker as this round fills it."""

    worker: WorkerView
    shards: int = field(init=False)
    seconds_ahead: float = field(init=False)
    is_reserved: bool = False

    def __post_init__(self) -> None:
        self.shards = self.worker.shards
        self.seconds_ahead = self.worker.seconds_ahead

    @property
    def room(self) -> Room:
        if self.shards >= SHARDS_AHEAD:
            return Room.FULL
        return Room.INTERACTIVE_ONLY if self.is_reserved else Room.OPEN

    def order(self) -> tuple[float, ...]:
        return (self.shards, self.worker.vram, self.seconds_ahead)

    def take(self, shard: NewShard) -> None:
        self.shards += 1
        self.seconds_ahead += shard.expected_seconds


def _reserve(desks: Sequence[_Desk], reserved: Mapping[str, int]) -> None:
    """Sets the least busy workers of each tier apart for the interactive lane."""
    for tier, number in reserved.items():
        members = sorted((d for d in desks if d.worker.tier == tier), key=_Desk.order)
        for desk in members[:number]:
            desk.is_reserved = True


class _Pool:
    """The tracks of one job that nobody has taken in this round, by what card they need."""

    def __init__(self, job: JobView) -> None:
        self.job = job
        self.special = [t for t in job.tracks if t.alone or t.avoid]
        self.plain: dict[int, deque[WaitingTrack]] = {}
        for track in job.tracks:
            if not (track.alone or track.avoid):
                self.plain.setdefault(track.min_vram, deque()).append(track)
        self.waiting = max(job.waiting, len(job.tracks))
        self.taken_seconds = 0.0
        self.affordable = job.affordable
        self.mean = _mean_shape(job.tracks)

    @property
    def seconds_left(self) -> float:
        return self.job.standing.seconds_left * self.waiting / self.job.waiting

    def left_for(self, worker: WorkerView) -> float:
        """Seconds of work that is left, as this worker would need them."""
        return self.waiting * worker.seconds(self.mean)

    def cut(
        self, worker: WorkerView, others: Sequence[_Desk], budget: float, *, strict: bool
    ) -> list[WaitingTrack]:
        """Takes tracks off the pool for one shard of about `budget` seconds: at least one track,
        unless `strict`."""
        special = self._special(worker, others)
        taken = [special] if special else self._plain(worker, budget, strict=strict)
        self.waiting -= len(taken)
        return taken

    def _special(self, worker: WorkerView, others: Sequence[_Desk]) -> WaitingTrack | None:
        for track in self.special:
            if track.min_vram <= worker.vram and _may_try(track, worker, others):
                self.special.remove(track)
                return track
        return None

    def _plain(self, worker: WorkerView, budget: float, *, strict: bool) -> list[WaitingTrack]:
        taken: list[WaitingTrack] = []
        for vram in sorted((v for v in self.plain if v <= worker.vram), reverse=True):
            line = self.plain[vram]
            while line and len(taken) < worker.max_tracks:
                budget -= worker.seconds(line[0].shape)
                if budget < 0 and (taken or strict):
                    return taken
                taken.append(line.popleft())
        return taken


def _may_try(track: WaitingTrack, worker: WorkerView, others: Sequence[_Desk]) -> bool:
    if worker.id not in track.avoid:
        return True
    return not any(
        d.worker.id not in track.avoid
        and d.worker.vram >= track.min_vram
        and d.worker.model_set == worker.model_set
        for d in others
    )


def _mean_shape(tracks: Sequence[WaitingTrack]) -> TrackShape:
    number = len(tracks)
    return TrackShape(
        sum(t.shape.duration for t in tracks) / number,
        max(1, round(sum(t.shape.steps for t in tracks) / number)),
        2 * sum(t.shape.guided for t in tracks) > number,
    )


def _next_shard(
    pools: Sequence[_Pool],
    desk: _Desk,
    desks: Sequence[_Desk],
    longest: _Longest,
    now: float,
) -> NewShard | None:
    worker = desk.worker
    fitting = [p for p in pools if p.waiting > 0 and p.job.model_set == worker.model_set]
    for pool in sorted(fitting, key=lambda p: rank(p.job.standing, p.taken_seconds, now)):
        interactive = pool.job.standing.lane is Lane.INTERACTIVE
        if desk.room is Room.INTERACTIVE_ONLY and not interactive:
            continue
        budget = 0.0 if interactive else min(longest.seconds, pool.seconds_left / GUIDED_SHARE)
        shard = _shard(pool, worker, desks, budget)
        if shard is not None:
            return shard
    return None


def _shard(
    pool: _Pool, worker: WorkerView, desks: Sequence[_Desk], budget: float
) -> NewShard | None:
    strict = pool.affordable is not None and worker.price > 0
    if pool.affordable is not None and strict:
        budget = min(max(budget, worker.seconds(pool.mean)), 3600 * pool.affordable / worker.price)
    taken = pool.cut(worker, desks, budget, strict=strict)
    if not taken:
        return None
    expected = sum(worker.seconds(track.shape) for track in taken)
    if pool.affordable is not None:
        pool.affordable -= expected * worker.price / 3600
    pool.taken_seconds += expected
    ids = tuple(track.id for track in taken)
    return NewShard(worker.id, worker.queue, pool.job.id, ids, expected)
