"""Makespan of a fleet, and the work of each card until then (pure).

Tracks that need a tier may be made by any card of that tier or above. The end is the first moment
by which the cards together have the seconds that all tracks take, where

- the tracks of the largest tier are shared out first, each to the smallest cards that can make it,
  equal tiers in proportion to their speed;
- a card counts from the moment it is ready, and loses half a track at the end: shards shrink to
  single tracks, so the last ones end within a track of each other (guided self-scheduling:
  Polychronopoulos and Kuck, IEEE Trans. Comput. C-36, 1987);
- the end is not before the longest track of each tier can be made at all.

The time is linear in the number of GPU types, not of tracks. More or faster cards never make the
end later.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PRECISION = 1e-10  # relative, of the bisection for the end
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class WorkLoad:
    """`tracks` that need tier `vram` (nominal GB)."""

    vram: int
    tracks: int


@dataclass(frozen=True, slots=True)
class Cards:
    """Equal cards, ready after `ready` seconds.

    `seconds` and `longest`, by the tier of the load: seconds of one card for a mean track and for
    the longest one.
    """

    vram: int
    count: int
    ready: float
    seconds: Mapping[int, float]
    longest: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Assignment of tracks to groups.

    `tracks[i]` and `busy[i]`: tracks of group i, and the seconds that they take on all its cards
    together; `by_load`: these seconds by tier of the load.
    """

    finish: float
    tracks: tuple[float, ...]
    busy: tuple[float, ...]
    by_load: Mapping[int, float]


def schedule(loads: Sequence[WorkLoad], cards: Sequence[Cards]) -> Schedule | None:
    """Return the schedule with the earliest end; None if some load fits no card.

    Without loads it ends at once.
    """
    loads = sorted((load for load in loads if load.tracks), key=lambda load: -load.vram)
    if any(not _fitting(load, cards) for load in loads):
        return None
    if not loads:
        return Schedule(0.0, (0.0,) * len(cards), (0.0,) * len(cards), {})
    earliest = max(_earliest_end(load, cards) for load in loads)
    return _earliest_schedule(earliest, _SchedulingProblem.of(loads, cards))


@dataclass(frozen=True, slots=True)
class _SchedulingProblem:
    """Prepared input of the search.

    `fillers[n]`: the groups that may make load n, one list per tier, smallest first; `means[i]`:
    seconds of group i for a mean track among the loads that fit it.
    """

    loads: Sequence[WorkLoad]
    cards: Sequence[Cards]
    fillers: Sequence[Sequence[Sequence[int]]]
    means: Sequence[float | None]

    @classmethod
    def of(cls, loads: Sequence[WorkLoad], cards: Sequence[Cards]) -> "_SchedulingProblem":
        tiers = sorted({group.vram for group in cards})
        members = {t: [i for i, group in enumerate(cards) if group.vram == t] for t in tiers}
        fillers = [[members[tier] for tier in tiers if tier >= load.vram] for load in loads]
        return cls(loads, cards, fillers, [_mean(group, loads) for group in cards])

    def shared_out(self, finish: float) -> Schedule | None:
        """Return the assignment that ends by `finish`; None if that is too early."""
        free = [self._usable(i, finish) for i in range(len(self.cards))]
        tracks, by_load, whole = [0.0] * len(free), {}, list(free)
        for load, fillers in zip(self.loads, self.fillers, strict=True):
            before, left = sum(free), float(load.tracks)
            for members in fillers:
                left -= self._fill(left, load, members, free, tracks)
            if left > _ROUNDING * load.tracks:
                return None
            by_load[load.vram] = before - sum(free)
        busy = tuple(total - rest for total, rest in zip(whole, free, strict=True))
        return Schedule(finish, tuple(tracks), busy, by_load)

    def _fill(
        self,
        left: float,
        load: WorkLoad,
        members: Sequence[int],
        free: list[float],
        tracks: list[float],
    ) -> float:
        """Assign up to `left` tracks to the cards of one tier; return the number assigned."""
        capacities = [free[i] / self.cards[i].seconds[load.vram] for i in members]
        total = sum(capacities)
        if total <= 0:
            return 0.0
        share = min(1.0, left / total)
        for i, capacity in zip(members, capacities, strict=True):
            free[i] -= share * free[i]
            tracks[i] += share * capacity
        return share * total

    def _usable(self, i: int, finish: float) -> float:
        """Return the seconds that a group's cards can spend on tracks that end by `finish`."""
        group, mean = self.cards[i], self.means[i]
        span = finish - group.ready
        if mean is None or span <= 0:
            return 0.0
        return group.count * max(math.floor(span / mean + _ROUNDING) * mean, span - mean / 2)


def _earliest_schedule(earliest: float, problem: _SchedulingProblem) -> Schedule:
    """Return the earliest schedule by bisection: if one end is feasible, so is any later one."""
    low = high = max(earliest, _lower_bound(problem))
    while (best := problem.shared_out(high)) is None:
        low, high = high, 2 * high
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        if (better := problem.shared_out(middle)) is None:
            low = middle
        else:
            high, best = middle, better
    return best


def _lower_bound(problem: _SchedulingProblem) -> float:
    """Return a lower bound: all cards ready at once and as fast as the fastest for each load."""
    seconds = sum(
        load.tracks * min(group.seconds[load.vram] for group in problem.cards)
        for load in problem.loads
    )
    return seconds / sum(group.count for group in problem.cards)


def _mean(group: Cards, loads: Sequence[WorkLoad]) -> float | None:
    fitting = [load for load in loads if load.vram <= group.vram]
    if not fitting:
        return None
    number = sum(load.tracks for load in fitting)
    return sum(load.tracks * group.seconds[load.vram] for load in fitting) / number


def _fitting(load: WorkLoad, cards: Sequence[Cards]) -> list[Cards]:
    return [group for group in cards if group.vram >= load.vram]


def _earliest_end(load: WorkLoad, cards: Sequence[Cards]) -> float:
    """Return when the longest track of a load can be done if it is started at once."""
    return min(group.ready + group.longest[load.vram] for group in _fitting(load, cards))
