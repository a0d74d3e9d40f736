"""Which tracks go to which worker, and in shards of what size: pure, decided anew each tick.

Shards are cut by expected seconds, not by count, and shrink towards the end of the work (guided
self-scheduling), so that no worker is left with a large one while the others have none: each lasts
at most half the time in which all workers together, each at its own speed, would be done. Idle
workers come first, among them the smaller cards; a big card first takes what only it can make.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from trackfarm.cost import TrackShape
from trackfarm_scheduler.outlines import JobView, NewShard, WaitingTrack, WorkerView
from trackfarm_scheduler.precedence import Lane, rank

SHARDS_AHEAD = 2  # per worker: one computes, one waits; a shard being finished does not count
GUIDED_SHARE = 2.0  # a shard lasts at most the time that is left over this


def shard_budget(*, work: float, workers: float, longest: float) -> float:
    """Seconds that one shard may take on a worker that alone would need `work` seconds for what is
    left, where all are together as fast as `workers` of its kind."""
    return min(longest, work / (GUIDED_SHARE * max(workers, 1)))


def place(
    jobs: Iterable[JobView],
    workers: Iterable[WorkerView],
    *,
    shard_seconds: float,
    reserved: Mapping[str, int] | None = None,
    now: float = 0.0,
    crowd: Mapping[str, int] | None = None,
    most: int | None = None,
) -> list[NewShard]:
    """The shards to offer now, at most `most`. `reserved` names how many workers of a tier long
    jobs leave free for the interactive lane; `crowd` how many workers of each model set there are,
    where `workers` are only those with room."""
    desks = [_Desk(worker) for worker in workers]
    places = sum(max(0, SHARDS_AHEAD - desk.shards) for desk in desks)
    places = places if most is None else min(places, most)
    pools = [_Pool(job, desks, crowd or {}, places) for job in jobs if job.tracks]
    _reserve(desks, reserved or {})
    ordinary = _shards(pools, _turns(desks), desks, shard_seconds, now)
    placed = list(islice(ordinary, most))
    for pool in pools:
        pool.keep_begun()
    crowded = _shards(pools, _crowded(desks), desks, shard_seconds, now)
    return placed + list(islice(crowded, None if most is None else most - len(placed)))


def _shards(
    pools: Sequence["_Pool"],
    turns: Iterable["_Desk"],
    desks: Sequence["_Desk"],
    longest: float,
    now: float,
) -> Iterator[NewShard]:
    for desk in turns:
        shard = _next_shard(pools, desk, desks, longest, now)
        if shard is not None:
            desk.take(shard)
            yield shard


def _turns(desks: Sequence["_Desk"]) -> Iterator["_Desk"]:
    """Who is served next: those with nothing before those with something ahead of them."""
    for ahead in range(SHARDS_AHEAD):
        for desk in sorted(desks, key=_Desk.order):
            if desk.shards == ahead:
                yield desk


def _crowded(desks: Sequence["_Desk"]) -> Iterator["_Desk"]:
    """Who has enough ahead, and takes what somebody else had begun nevertheless, soonest first."""
    full = [desk for desk in desks if desk.shards == SHARDS_AHEAD]
    yield from sorted(full, key=lambda desk: desk.seconds_ahead)


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


def unreserved(workers: Iterable[WorkerView], reserved: Mapping[str, int]) -> list[WorkerView]:
    """Those whom long jobs may have."""
    desks = [_Desk(worker) for worker in workers]
    _reserve(desks, reserved)
    return [desk.worker for desk in desks if not desk.is_reserved]


class _Pool:
    """The tracks of one job that nobody has taken in this round, by what card they need."""

    def __init__(
        self, job: JobView, desks: Sequence[_Desk], crowd: Mapping[str, int], places: int
    ) -> None:
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
        self.pace = _pace(job, self.mean, desks, crowd)
        self.most = _most_tracks(job, places)

    def keep_begun(self) -> None:
        """Leaves only what somebody had before."""
        self.special = [track for track in self.special if track.begun]
        self.plain = {v: deque(t for t in line if t.begun) for v, line in self.plain.items()}

    def budget(self, worker: WorkerView, longest: float) -> float:
        """Seconds that the next shard for this worker may take."""
        each = worker.seconds(self.mean)
        return shard_budget(work=self.waiting * each, workers=self.pace * each, longest=longest)

    def cut(
        self, worker: WorkerView, others: Sequence[_Desk], budget: float, limit: float
    ) -> list[WaitingTrack]:
        """Takes tracks off the pool for one shard of about `budget` seconds: at least one track,
        but never more than `limit` seconds."""
        special = self._special(worker, others, limit)
        taken = [special] if special else self._plain(worker, budget, limit)
        self.waiting -= len(taken)
        return taken

    def _special(
        self, worker: WorkerView, others: Sequence[_Desk], limit: float
    ) -> WaitingTrack | None:
        for track in self.special:
            fits = track.min_vram <= worker.vram and worker.seconds(track.shape) <= limit
            if fits and _may_try(track, self.job.standing.lane, worker, others):
                self.special.remove(track)
                return track
        return None

    def _plain(self, worker: WorkerView, budget: float, limit: float) -> list[WaitingTrack]:
        taken: list[WaitingTrack] = []
        spent = 0.0
        for vram in sorted((v for v in self.plain if v <= worker.vram), reverse=True):
            line = self.plain[vram]
            while line and len(taken) < min(worker.max_tracks, self.most):
                each = worker.seconds(line[0].shape)
                if taken and spent + each > budget:
                    return taken
                if spent + each > limit:
                    break  # a smaller card's tracks may be cheaper
                spent += each
                taken.append(line.popleft())
        return taken


def _may_try(track: WaitingTrack, lane: Lane, worker: WorkerView, others: Sequence[_Desk]) -> bool:
    if worker.id not in track.avoid:
        return True
    return not any(
        d.worker.id not in track.avoid
        and d.worker.vram >= track.min_vram
        and d.worker.model_set == worker.model_set
        and (lane is Lane.INTERACTIVE or not d.is_reserved)
        for d in others
    )


def _pace(
    job: JobView, shape: TrackShape, desks: Sequence[_Desk], crowd: Mapping[str, int]
) -> float:
    """Tracks a second of all workers that can make the job. Those with room are no fair sample
    (late in a job they are the slow ones, or the fast), so they are asked only when the job does
    not say how long it will take."""
    if job.standing.seconds_left > 0:
        return job.waiting / job.standing.seconds_left
    shown = [d.worker.seconds(shape) for d in desks if d.worker.model_set == job.model_set]
    number = crowd.get(job.model_set, len(shown))
    return sum(1 / max(s, 1e-9) for s in shown) * number / max(len(shown), 1)


def _most_tracks(job: JobView, places: int) -> float:
    """Tracks of one shard: when more wait than were loaded and many workers have room (a farm that
    starts), each gets some now rather than the first ones all."""
    if job.waiting <= len(job.tracks):
        return math.inf
    return math.ceil(len(job.tracks) / max(places, 1))


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
    longest: float,
    now: float,
) -> NewShard | None:
    worker = desk.worker
    fitting = [p for p in pools if p.waiting > 0 and p.job.model_set == worker.model_set]
    for pool in sorted(fitting, key=lambda p: rank(p.job.standing, p.taken_seconds, now)):
        interactive = pool.job.standing.lane is Lane.INTERACTIVE
        if desk.is_reserved and not interactive:
            continue
        budget = 0.0 if interactive else pool.budget(worker, longest)
        shard = _shard(pool, worker, desks, budget)
        if shard is not None:
            return shard
    return None


def _shard(
    pool: _Pool, worker: WorkerView, desks: Sequence[_Desk], budget: float
) -> NewShard | None:
    limit = math.inf
    if pool.affordable is not None and worker.price > 0:
        limit = 3600 * pool.affordable / worker.price
    taken = pool.cut(worker, desks, budget, limit)
    if not taken:
        return None
    expected = sum(worker.seconds(track.shape) for track in taken)
    if pool.affordable is not None:
        pool.affordable -= expected * worker.price / 3600
    pool.taken_seconds += expected
    ids = tuple(track.id for track in taken)
    return NewShard(worker.id, worker.queue, pool.job.id, ids, expected)
