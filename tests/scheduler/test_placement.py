"""Placement as a pure function: bounds that always hold, and the order of choice."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from trackfarm.cost import TrackShape
from trackfarm_scheduler.placement import (
    SHARDS_AHEAD,
    JobView,
    NewShard,
    QueueView,
    WaitingTrack,
    place,
    shard_budget,
)

SHARD_SECONDS = 60.0
TIERS = [4, 8, 24, 80]
SETS = ["tiny", "turbo"]


class Seconds:
    """Prices a track at `rate` seconds a second of audio."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, shape: TrackShape) -> float:
        return self.rate * shape.duration


def tracks(first: int, number: int, *, duration: float = 10, vram: int = 4) -> list[WaitingTrack]:
    shape = TrackShape(duration, 8, False)
    return [WaitingTrack(first + i, shape, vram) for i in range(number)]


def job(name: str, waiting: list[WaitingTrack], *, priority: int = 0, age: float = 0) -> JobView:
    return JobView(name, "tiny", priority, age, waiting, len(waiting))


def queue(
    name: str, *, vram: int = 24, workers: int = 1, outstanding: int = 0, rate: float = 0.1
) -> QueueView:
    return QueueView(name, vram, "tiny", workers, outstanding, 64, Seconds(rate))


@st.composite
def jobs_in_any_state(draw: st.DrawFn) -> list[JobView]:
    views: list[JobView] = []
    first = 1
    for number in draw(st.lists(st.integers(0, 40), max_size=4)):
        waiting = [
            WaitingTrack(
                first + i,
                TrackShape(draw(st.sampled_from([10.0, 60.0, 600.0])), 8, False),
                draw(st.sampled_from(TIERS)),
            )
            for i in range(number)
        ]
        first += number
        unseen = draw(st.sampled_from([0, 0, 1_000]))
        views.append(
            JobView(
                f"job_{len(views)}",
                draw(st.sampled_from(SETS)),
                draw(st.integers(-2, 2)),
                draw(st.floats(0, 3)),
                waiting,
                number + unseen,
            )
        )
    return views


@st.composite
def queues_in_any_state(draw: st.DrawFn) -> list[QueueView]:
    return [
        QueueView(
            name=f"queue_{i}",
            vram=draw(st.sampled_from(TIERS)),
            model_set=draw(st.sampled_from(SETS)),
            workers=draw(st.integers(1, 5)),
            outstanding=draw(st.integers(0, 12)),
            max_tracks=draw(st.integers(1, 20)),
            seconds=Seconds(draw(st.sampled_from([0.001, 0.1, 2.0]))),
        )
        for i in range(draw(st.integers(0, 5)))
    ]


@given(jobs_in_any_state(), queues_in_any_state())
def test_what_always_holds(jobs: list[JobView], queues: list[QueueView]) -> None:
    shards = place(jobs, queues, shard_seconds=SHARD_SECONDS)
    by_name = {q.name: q for q in queues}
    by_id = {t.id: (j, t) for j in jobs for t in j.tracks}

    placed = [track_id for shard in shards for track_id in shard.track_ids]
    assert len(placed) == len(set(placed)), "a track was placed twice"
    for name, number in Counter(shard.queue for shard in shards).items():
        assert number <= by_name[name].free_places
    for shard in shards:
        where = by_name[shard.queue]
        members = [by_id[i] for i in shard.track_ids]
        assert 1 <= len(members) <= where.max_tracks
        assert {j.id for j, _ in members} == {shard.job_id}
        assert {j.model_set for j, _ in members} == {where.model_set}
        assert all(t.min_vram <= where.vram for _, t in members), "beyond the card's memory"
        spent = sum(where.seconds(t.shape) for _, t in members)
        assert abs(shard.expected_seconds - spent) < 1e-6
        assert len(members) == 1 or spent <= SHARD_SECONDS + 1e-6


@given(jobs_in_any_state(), queues_in_any_state())
def test_no_place_stays_free_while_a_fitting_track_waits(
    jobs: list[JobView], queues: list[QueueView]
) -> None:
    shards = place(jobs, queues, shard_seconds=SHARD_SECONDS)
    placed = {track_id for shard in shards for track_id in shard.track_ids}
    taken = Counter(shard.queue for shard in shards)
    left = [(j, t) for j in jobs for t in j.tracks if t.id not in placed]
    for q in queues:
        if taken[q.name] < q.free_places:
            assert not [t for j, t in left if j.model_set == q.model_set and t.min_vram <= q.vram]


@given(jobs_in_any_state(), queues_in_any_state())
def test_the_order_of_the_arguments_does_not_matter(
    jobs: list[JobView], queues: list[QueueView]
) -> None:
    there = place(jobs, queues, shard_seconds=SHARD_SECONDS)
    assert there == place(jobs[::-1], queues[::-1], shard_seconds=SHARD_SECONDS)


def test_priority_goes_before_age_and_age_before_nothing() -> None:
    jobs = [
        job("old", tracks(1, 1), age=1),
        job("young", tracks(2, 1), age=2),
        job("urgent", tracks(3, 1), priority=5, age=3),
    ]
    shards = place(jobs, [queue("q", workers=2)], shard_seconds=SHARD_SECONDS)
    assert [s.job_id for s in shards] == ["urgent", "old", "young"]


def test_a_lower_priority_gets_what_the_higher_cannot_use() -> None:
    jobs = [
        job("urgent", tracks(1, 3, vram=80), priority=5),
        job("small", tracks(10, 3, vram=4)),
    ]
    shards = place(jobs, [queue("card", vram=24)], shard_seconds=SHARD_SECONDS)
    assert {s.job_id for s in shards} == {"small"}


def test_smaller_cards_are_filled_first() -> None:
    jobs = [job("mixed", tracks(1, 1, vram=4) + tracks(2, 1, vram=80))]
    cards = [queue("big", vram=80), queue("small", vram=24)]
    shards = place(jobs, cards, shard_seconds=SHARD_SECONDS)
    assert {s.queue: s.track_ids for s in shards} == {"small": (1,), "big": (2,)}


def test_places_are_dealt_round_robin_so_that_no_card_starves() -> None:
    jobs = [job("few", tracks(1, 4, duration=100))]
    cards = [queue("a", rate=1.0), queue("b", rate=1.0)]
    shards = place(jobs, cards, shard_seconds=SHARD_SECONDS)
    assert [s.queue for s in shards] == ["a", "b", "a", "b"]


def test_a_full_queue_gets_nothing() -> None:
    full = queue("q", workers=2, outstanding=2 * SHARDS_AHEAD)
    assert place([job("j", tracks(1, 9))], [full], shard_seconds=SHARD_SECONDS) == []
    overfull = replace(full, outstanding=99)
    assert overfull.free_places == 0


def test_shards_shrink_towards_the_end() -> None:
    """Drained one shard at a time, the sizes never grow and the last are single tracks."""
    left = tracks(1, 400, duration=10)
    sizes: list[int] = []
    while left:
        shards = place([job("j", left)], [queue("q", workers=4)], shard_seconds=SHARD_SECONDS)
        sizes.append(len(shards[0].track_ids))
        left = [t for t in left if t.id not in shards[0].track_ids]
    assert sizes[0] > 10
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-4:] == [1, 1, 1, 1]


def test_tracks_beyond_the_window_count_as_work() -> None:
    loaded = tracks(1, 20, duration=10)
    few = JobView("j", "tiny", 0, 0, loaded, 20)
    many = JobView("j", "tiny", 0, 0, loaded, 20_000)
    sizes = [
        len(place([view], [queue("q", workers=2)], shard_seconds=1e9)[0].track_ids)
        for view in (few, many)
    ]
    assert sizes == [5, 20]


def test_a_track_longer_than_the_budget_still_gets_its_shard() -> None:
    shards = place([job("j", tracks(1, 2, duration=600))], [queue("q", rate=9)], shard_seconds=60)
    assert shards == [NewShard("q", "j", (1,), 5400.0), NewShard("q", "j", (2,), 5400.0)]


@given(st.floats(0, 1e6), st.integers(0, 1000), st.floats(1, 600))
def test_the_budget_leaves_something_for_everyone(
    work: float, workers: int, longest: float
) -> None:
    budget = shard_budget(work=work, workers=workers, longest=longest)
    assert 0 <= budget <= longest
    assert budget * max(workers, 1) <= work


def test_nothing_to_do() -> None:
    assert place([], [queue("q")], shard_seconds=SHARD_SECONDS) == []
    assert place([job("j", tracks(1, 3))], [], shard_seconds=SHARD_SECONDS) == []
    assert place([job("j", [])], [queue("q")], shard_seconds=SHARD_SECONDS) == []
