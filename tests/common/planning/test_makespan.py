"""The makespan: exact where the result is known, monotone everywhere."""

import heapq
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.planning.makespan import Cards, Schedule, WorkLoad, schedule

TIERS = (8, 16, 24)


def cards(vram: int, count: int, seconds: float, *, ready: float = 0.0) -> Cards:
    paces = {tier: seconds * (1 + i) for i, tier in enumerate(TIERS)}
    return Cards(vram, count, ready, paces, {tier: 1.5 * pace for tier, pace in paces.items()})


def schedule_of(loads: Sequence[WorkLoad], groups: Sequence[Cards]) -> Schedule:
    result = schedule(loads, groups)
    assert result is not None
    return result


def simulated(tracks: int, groups: Sequence[Cards], rng: random.Random) -> float:
    """Simulate list scheduling: each track, of random length, goes to the first free card."""
    free = [(group.ready, i) for i, group in enumerate(groups) for _ in range(group.count)]
    heapq.heapify(free)
    end = 0.0
    for _ in range(tracks):
        at, i = heapq.heappop(free)
        done = at + groups[i].seconds[8] * rng.uniform(0.5, 1.5)
        heapq.heappush(free, (done, i))
        end = max(end, done)
    return end


some_loads = st.lists(
    st.builds(WorkLoad, st.sampled_from(TIERS), st.integers(1, 100_000)),
    min_size=1,
    max_size=3,
    unique_by=lambda load: load.vram,
)
some_cards = st.lists(
    st.builds(
        lambda vram, count, seconds, ready: cards(vram, count, seconds, ready=ready),
        st.sampled_from(TIERS),
        st.integers(1, 50),
        st.floats(0.1, 60),
        st.sampled_from([0.0, 0.0, 300.0]),
    ),
    min_size=1,
    max_size=4,
).map(lambda groups: [*groups, cards(24, 1, 20.0)])


def test_schedule_of_one_card_is_sequential() -> None:
    assert schedule_of([WorkLoad(8, 10)], [cards(8, 1, 3.0)]).finish == pytest.approx(30, rel=0.06)


def test_schedule_gives_a_single_track_to_the_fastest_card() -> None:
    groups = [cards(8, 5, 100.0), cards(24, 1, 10.0)]
    assert schedule_of([WorkLoad(8, 1)], groups).finish == pytest.approx(15)  # the longest track


def test_schedule_shares_equally_among_equal_cards() -> None:
    result = schedule_of([WorkLoad(8, 1_000)], [cards(8, 4, 2.0), cards(8, 6, 2.0)])
    assert result.finish == pytest.approx(1_000 * 2 / 10, rel=0.01)
    assert result.tracks == pytest.approx((400, 600))


def test_schedule_gives_large_tracks_to_large_cards_only() -> None:
    groups = [cards(8, 10, 1.0), cards(24, 1, 1.0)]
    result = schedule_of([WorkLoad(8, 100), WorkLoad(24, 1_000)], groups)
    assert result.finish == pytest.approx(3_000, rel=0.01), "the ten small ones cannot help"
    assert result.tracks == pytest.approx((100, 1_000))


def test_schedule_gives_nothing_to_a_card_that_is_not_ready() -> None:
    result = schedule_of([WorkLoad(8, 10)], [cards(8, 1, 1.0), cards(8, 100, 1.0, ready=600)])
    assert result.finish < 11
    assert result.tracks == pytest.approx((10, 0))


def test_schedule_is_none_if_a_load_fits_nowhere() -> None:
    assert schedule([WorkLoad(24, 1)], [cards(16, 9, 1.0)]) is None
    assert schedule([WorkLoad(24, 1)], []) is None
    assert schedule_of([], [cards(8, 1, 1.0)]).finish == 0


@pytest.mark.parametrize("tracks", [60, 600, 6_000])
@pytest.mark.parametrize("sizes", [((6, 3.0),), ((6, 3.0), (2, 1.0)), ((1, 1.0), (20, 8.0))])
def test_schedule_agrees_with_a_simulation(
    tracks: int, sizes: tuple[tuple[int, float], ...]
) -> None:
    groups = [cards(8, count, seconds) for count, seconds in sizes]
    runs = [simulated(tracks, groups, random.Random(seed)) for seed in range(20)]
    # The last track of a slow card may end late, which matters if each card has few tracks.
    slack = 0.05 + 1.5 * max(seconds for _, seconds in sizes) / (sum(runs) / 20)
    assert schedule_of([WorkLoad(8, tracks)], groups).finish == pytest.approx(
        sum(runs) / 20, rel=slack
    )


@given(some_loads, some_cards)
def test_schedule_makes_every_track_once_within_each_cards_time(
    loads: list[WorkLoad], groups: list[Cards]
) -> None:
    result = schedule_of(loads, groups)
    assert sum(result.tracks) == pytest.approx(sum(load.tracks for load in loads))
    assert sum(result.busy) == pytest.approx(sum(result.by_load.values()))
    for group, busy in zip(groups, result.busy, strict=True):
        assert busy <= group.count * max(result.finish - group.ready, 0) * (1 + 1e-9)


@given(some_loads, some_cards, st.integers(0, 3), st.integers(1, 20))
def test_schedule_with_more_cards_is_never_later(
    loads: list[WorkLoad], groups: list[Cards], at: int, more: int
) -> None:
    i = at % len(groups)
    grown = [replace(g, count=g.count + more * (n == i)) for n, g in enumerate(groups)]
    assert schedule_of(loads, grown).finish <= schedule_of(loads, groups).finish * (1 + 1e-9)


@given(some_loads, some_cards, st.sampled_from(TIERS), st.floats(0.1, 1_000))
def test_schedule_with_another_group_is_never_later(
    loads: list[WorkLoad], groups: list[Cards], vram: int, seconds: float
) -> None:
    grown = [*groups, cards(vram, 2, seconds)]
    assert schedule_of(loads, grown).finish <= schedule_of(loads, groups).finish * (1 + 1e-9)


@given(some_loads, some_cards, st.integers(0, 2), st.integers(1, 1_000))
def test_schedule_with_more_tracks_is_never_earlier(
    loads: list[WorkLoad], groups: list[Cards], at: int, more: int
) -> None:
    i = at % len(loads)
    grown = [replace(load, tracks=load.tracks + more * (n == i)) for n, load in enumerate(loads)]
    longer = schedule_of(grown, groups).finish
    # Tolerance of one track: the model rounds each card's last one.
    assert longer >= schedule_of(loads, groups).finish - max(g.longest[24] for g in groups)
