"""When a fleet is done and what each card does until then: pure arithmetic.

Tracks that need a tier may be made by any card of that tier or above. The end is the first moment
by which the cards together have the seconds that all tracks take, where

- the tracks of the largest tier are shared out first, each to the smallest cards that can make it,
  equal tiers in proportion to their speed;
- a card counts from the moment it is ready, and loses half a track at the end: shards shrink to
  single tracks, so the last ones end within a track of each other (guided self-scheduling:
  Polychronopoulos and Kuck, IEEE Trans. Comput. C-36, 1987);
- the end is not before the longest track of each tier can be made at all.

It is linear in the number of kinds, not of tracks. More or faster cards never make it later.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Load:
    """`tracks` that need tier `vram` (nominal GB)."""

    vram: int
    tracks: int


@dataclass(frozen=True, slots=True)
class Cards:
    """Equal cards, ready after `ready` seconds. `seconds` and `longest`, by the tier of the load:
    what one of them takes for a mean track and for the longest one."""

    vram: int
    count: int
    ready: float
    seconds: Mapping[int, float]
    longest: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Schedule:
    """`tracks[i]` and `busy[i]`: tracks made by group i and the seconds of all its cards that
    they take; `by_load` is the latter by tier of the load."""

    finish: float
    tracks: tuple[float, ...]
    busy: tuple[float, ...]
    by_load: Mapping[int, float]


def schedule(loads: Sequence[Load], cards: Sequence[Cards]) -> Schedule | None:
    """The earliest end for all loads; None when some load fits no card. No loads end at once."""
    loads = sorted((load for load in loads if load.tracks), key=lambda load: -load.vram)
    if any(not _able(load, cards) for load in loads):
        return None
    if not loads:
        return Schedule(0.0, (0.0,) * len(cards), (0.0,) * len(cards), {})
    earliest = max(_longest(load, cards) for load in loads)
    return _least(earliest, loads, cards)


def _least(earliest: float, loads: Sequence[Load], cards: Sequence[Cards]) -> Schedule:
    """By bisection: whatever fits until one moment fits until any later one."""
    if (found := _shared_out(earliest, loads, cards)) is not None:
        return found
    low = high = earliest
    while (found := _shared_out(high, loads, cards)) is None:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if (better := _shared_out(middle, loads, cards)) is None:
            low = middle
        else:
            high, found = middle, better
    return found


def _shared_out(finish: float, loads: Sequence[Load], cards: Sequence[Cards]) -> Schedule | None:
    """Who makes what by `finish`; None when that is too early."""
    free = [group.count * _usable(finish, group, loads) for group in cards]
    tracks, by_load = [0.0] * len(cards), {}
    whole = list(free)
    for load in loads:
        before = sum(free)
        left = float(load.tracks)
        for tier in sorted({group.vram for group in cards if group.vram >= load.vram}):
            left -= _fill(left, load, tier, cards, free, tracks)
        if left > 1e-9 * load.tracks:
            return None
        by_load[load.vram] = before - sum(free)
    busy = tuple(all_of - rest for all_of, rest in zip(whole, free, strict=True))
    return Schedule(finish, tuple(tracks), busy, by_load)


def _fill(
    left: float,
    load: Load,
    tier: int,
    cards: Sequence[Cards],
    free: list[float],
    tracks: list[float],
) -> float:
    """Gives up to `left` tracks of a load to the cards of one tier; how many they took."""
    able = [i for i, group in enumerate(cards) if group.vram == tier]
    room = {i: free[i] / cards[i].seconds[load.vram] for i in able}
    total = sum(room.values())
    if total <= 0:
        return 0.0
    share = min(1.0, left / total)
    for i in able:
        free[i] -= share * free[i]
        tracks[i] += share * room[i]
    return share * total


def _usable(finish: float, group: Cards, loads: Sequence[Load]) -> float:
    """Seconds that one card can spend on tracks that end by `finish`."""
    span = finish - group.ready
    fitting = [load for load in loads if load.vram <= group.vram]
    if span <= 0 or not fitting:
        return 0.0
    number = sum(load.tracks for load in fitting)
    mean = sum(load.tracks * group.seconds[load.vram] for load in fitting) / number
    return max(math.floor(span / mean + 1e-9) * mean, span - mean / 2)


def _able(load: Load, cards: Sequence[Cards]) -> list[Cards]:
    return [group for group in cards if group.vram >= load.vram]


def _longest(load: Load, cards: Sequence[Cards]) -> float:
    return min(group.ready + group.longest[load.vram] for group in _able(load, cards))
