"""Placement as a pure function: bounds that always hold, and the order of choice."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scheduler.placement_builders import (
    job,
    job_priority,
    some_jobs,
    some_workers,
    tracks,
    worker,
)
from trackfarm_scheduler.policy.models import JobView, Lane, NewShard, WaitingTrack, WorkerView
from trackfarm_scheduler.policy.placement import SHARDS_AHEAD, place, shard_budget

SHARD_SECONDS = 60.0
reservations = st.dictionaries(st.sampled_from(["vram4", "vram24"]), st.integers(0, 3))


@given(some_jobs(), some_workers(), reservations)
def test_placement_invariants_hold(
    jobs: list[JobView], workers: list[WorkerView], reserved: dict[str, int]
) -> None:
    shards = place(jobs, workers, shard_seconds=SHARD_SECONDS, reserved=reserved)
    by_id = {t.id: (j, t) for j in jobs for t in j.tracks}
    workers_by_id = {w.id: w for w in workers}

    placed = [track_id for shard in shards for track_id in shard.track_ids]
    assert len(placed) == len(set(placed)), "a track was placed twice"
    ahead = {name: desk.shards for name, desk in workers_by_id.items()}
    for shard in shards:
        target = workers_by_id[shard.worker_id]
        members = [by_id[i] for i in shard.track_ids]
        ahead[target.id] += 1
        assert ahead[target.id] <= SHARDS_AHEAD + all(t.previously_leased for _, t in members)
        assert shard.queue == target.queue
        assert 1 <= len(members) <= target.max_tracks
        assert {j.id for j, _ in members} == {shard.job_id}
        assert {j.model_set for j, _ in members} == {target.model_set}
        assert all(t.min_vram <= target.vram for _, t in members), "beyond the memory of the GPU"
        spent = sum(target.seconds(t.shape) for _, t in members)
        assert abs(shard.expected_seconds - spent) < 1e-6
        assert len(members) == 1 or spent <= SHARD_SECONDS + 1e-6


@given(some_jobs(), some_workers())
def test_placement_isolates_tracks_that_crashed_or_failed(
    jobs: list[JobView], workers: list[WorkerView]
) -> None:
    special = {t.id for j in jobs for t in j.tracks if t.is_alone or t.avoid}
    for shard in place(jobs, workers, shard_seconds=SHARD_SECONDS):
        assert len(shard.track_ids) == 1 or special.isdisjoint(shard.track_ids)


@given(some_jobs(), some_workers(), reservations)
def test_placement_avoids_workers_that_failed_a_track(
    jobs: list[JobView], workers: list[WorkerView], reserved: dict[str, int]
) -> None:
    kinds = {t.id: (j.model_set, t) for j in jobs for t in j.tracks}
    for shard in place(jobs, workers, shard_seconds=SHARD_SECONDS):
        kind, track = kinds[shard.track_ids[0]]
        able = {w.id for w in workers if w.model_set == kind and w.vram >= track.min_vram}
        if able - track.avoid:
            assert shard.worker_id not in track.avoid


@given(some_jobs(), some_workers(), reservations)
def test_placement_never_exceeds_a_budget(
    jobs: list[JobView], workers: list[WorkerView], reserved: dict[str, int]
) -> None:
    price = {w.id: w.price for w in workers}
    spent = Counter[str]()
    for shard in place(jobs, workers, shard_seconds=SHARD_SECONDS, reserved=reserved):
        spent[shard.job_id] += shard.expected_seconds * price[shard.worker_id] / 3600  # type: ignore[assignment]
    for view in jobs:
        if view.affordable is not None:
            assert spent[view.id] <= max(view.affordable, 0) + 1e-9


@given(some_jobs(), some_workers())
def test_placement_leaves_no_place_free_while_a_track_fits(
    jobs: list[JobView], workers: list[WorkerView]
) -> None:
    unlimited = [replace(view, affordable=None) for view in jobs]
    shards = place(unlimited, workers, shard_seconds=SHARD_SECONDS)
    placed = {track_id for shard in shards for track_id in shard.track_ids}
    placed_per_worker = Counter(shard.worker_id for shard in shards)
    unplaced = [(j, t) for j in unlimited for t in j.tracks if t.id not in placed]
    for w in workers:
        if w.shards + placed_per_worker[w.id] < SHARDS_AHEAD:
            fitting = [
                t for j, t in unplaced if j.model_set == w.model_set and t.min_vram <= w.vram
            ]
            assert all(w.id in t.avoid for t in fitting)


@given(some_jobs(), some_workers(), reservations)
def test_placement_ignores_the_order_of_its_arguments(
    jobs: list[JobView], workers: list[WorkerView], reserved: dict[str, int]
) -> None:
    forward = place(jobs, workers, shard_seconds=SHARD_SECONDS, reserved=reserved)
    reversed_order = place(
        jobs[::-1], workers[::-1], shard_seconds=SHARD_SECONDS, reserved=reserved
    )
    by_worker = Counter((s.worker_id, s.job_id, s.track_ids) for s in forward)
    assert by_worker == Counter((s.worker_id, s.job_id, s.track_ids) for s in reversed_order)


@given(some_jobs(), some_workers(), reservations)
def test_placement_gives_reserved_workers_only_interactive_work(
    jobs: list[JobView], workers: list[WorkerView], reserved: dict[str, int]
) -> None:
    shards = place(jobs, workers, shard_seconds=SHARD_SECONDS, reserved=reserved)
    lanes = {j.id: j.priority.lane for j in jobs}
    for tier, number in reserved.items():
        members = [w for w in workers if w.tier == tier]
        fed = {s.worker_id for s in shards if lanes[s.job_id] is Lane.BATCH}
        unfed = sum(w.id not in fed for w in members)
        assert unfed >= min(number, len(members))


def test_placement_reserves_the_least_busy_workers() -> None:
    workers = [worker("a", shards=1, ahead=9), worker("b"), worker("c", shards=1, ahead=5)]
    shards = place(
        [job("long", tracks(1, 90))], workers, shard_seconds=SHARD_SECONDS, reserved={"vram24": 2}
    )
    assert {s.worker_id for s in shards} == {"a"}
    quick = job("quick", tracks(100, 1), about=job_priority(lane=Lane.INTERACTIVE))
    shards = place([quick], workers, shard_seconds=SHARD_SECONDS, reserved={"vram24": 2})
    assert [s.worker_id for s in shards] == ["b"]


def test_placement_does_not_wait_for_a_reserved_worker() -> None:
    """The only free worker failed the track, and the other is kept for the interactive lane."""
    failed = [replace(tracks(1, 1)[0], avoid=frozenset({"b"}))]
    workers = [worker("a"), worker("b", ahead=1)]
    shards = place([job("j", failed)], workers, shard_seconds=60, reserved={"vram24": 1})
    assert [s.worker_id for s in shards] == ["b"]


def test_placement_makes_interactive_shards_of_one_track() -> None:
    quick = job("quick", tracks(1, 9), about=job_priority(lane=Lane.INTERACTIVE))
    shards = place([quick], [worker("a"), worker("b")], shard_seconds=SHARD_SECONDS)
    assert [len(s.track_ids) for s in shards] == [1, 1, 1, 1]


def test_placement_gives_a_lower_priority_what_the_higher_cannot_use() -> None:
    jobs = [
        job("urgent", tracks(1, 3, vram=80), about=job_priority(level=50)),
        job("small", tracks(10, 3, vram=4)),
    ]
    shards = place(jobs, [worker("card", vram=24)], shard_seconds=SHARD_SECONDS)
    assert {s.job_id for s in shards} == {"small"}


def test_placement_fills_smaller_gpus_first() -> None:
    jobs = [job("mixed", tracks(1, 1, vram=4) + tracks(2, 1, vram=80))]
    workers = [worker("big", vram=80), worker("small", vram=24)]
    shards = place(jobs, workers, shard_seconds=SHARD_SECONDS)
    assert {s.worker_id: s.track_ids for s in shards} == {"small": (1,), "big": (2,)}


def test_placement_gives_a_large_gpu_first_what_only_it_can_make() -> None:
    mixed = tracks(1, 40, vram=4) + tracks(100, 4, vram=80)
    first, *_ = place([job("j", mixed)], [worker("big", vram=80)], shard_seconds=6)
    assert first.track_ids == (100, 101, 102, 103, 1, 2)


def test_placement_serves_idle_workers_first() -> None:
    workers = [worker("a", shards=1), worker("b")]
    shards = place([job("few", tracks(1, 2, duration=100))], workers, shard_seconds=1)
    assert [s.worker_id for s in shards] == ["b", "a"]


def test_placement_gives_a_full_worker_nothing() -> None:
    for shards in (SHARDS_AHEAD, 99):
        full = worker("w", shards=shards)
        assert place([job("j", tracks(1, 9))], [full], shard_seconds=SHARD_SECONDS) == []


def previously_leased(first: int, number: int) -> list[WaitingTrack]:
    return [replace(track, previously_leased=True) for track in tracks(first, number)]


def test_placement_gives_previously_leased_tracks_to_full_workers() -> None:
    """It goes to the workers that finish soonest, one shard each."""
    view = job("j", [*tracks(1, 9), *previously_leased(20, 3)])
    workers = [
        worker(name, shards=SHARDS_AHEAD, ahead=ahead) for name, ahead in (("a", 9), ("b", 5))
    ]
    shards = place([view], workers, shard_seconds=1)
    assert [(s.worker_id, s.track_ids) for s in shards] == [("b", (20,)), ("a", (21,))]
    even_fuller = [worker("c", shards=SHARDS_AHEAD + 1)]
    assert place([view], even_fuller, shard_seconds=1) == []


def test_placement_prefers_a_free_place_to_a_full_worker() -> None:
    workers = [worker("a", shards=SHARDS_AHEAD), worker("b", shards=1, ahead=50)]
    shards = place([job("j", previously_leased(1, 1))], workers, shard_seconds=60)
    assert [s.worker_id for s in shards] == ["b"]


def test_placement_keeps_long_jobs_off_full_reserved_workers() -> None:
    full = [worker("a", shards=SHARDS_AHEAD)]
    assert (
        place([job("j", previously_leased(1, 3))], full, shard_seconds=60, reserved={"vram24": 1})
        == []
    )


@given(some_jobs(), some_workers(), st.integers(0, 5))
def test_placement_respects_the_limit_of_shards(
    jobs: list[JobView], workers: list[WorkerView], limit: int
) -> None:
    assert len(place(jobs, workers, shard_seconds=SHARD_SECONDS, limit=limit)) <= limit


def test_placement_skips_idle_workers_that_are_unsuitable() -> None:
    workers = [*(worker(f"small{i}", vram=4) for i in range(9)), worker("big", vram=80, shards=1)]
    shards = place([job("j", tracks(1, 9, vram=80))], workers, shard_seconds=60, limit=1)
    assert [s.worker_id for s in shards] == ["big"]


def test_placement_shrinks_shards_towards_the_end() -> None:
    """Drained one shard at a time, the sizes never grow and the last are single tracks."""
    remaining = tracks(1, 400)
    sizes: list[int] = []
    workers = [worker(str(i)) for i in range(4)]
    while remaining:
        first, *_ = place([job("j", remaining)], workers, shard_seconds=SHARD_SECONDS)
        sizes.append(len(first.track_ids))
        remaining = [t for t in remaining if t.id not in first.track_ids]
    assert sizes[0] > 10
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-4:] == [1, 1, 1, 1]


def test_placement_counts_tracks_beyond_the_window() -> None:
    workers = [worker("a"), worker("b")]
    sizes = [
        len(place([view], workers, shard_seconds=1e9)[0].track_ids)
        for view in (job("j", tracks(1, 20)), job("j", tracks(1, 20), beyond=20_000))
    ]
    assert sizes == [5, 5], "with more tracks than loaded, every worker with room gets a share"
    shards = place([job("j", tracks(1, 20), beyond=20_000)], workers[:1], shard_seconds=1e9)
    assert [len(s.track_ids) for s in shards] == [10, 10]


def test_placement_gives_a_long_track_a_shard_of_its_own() -> None:
    shards = place([job("j", tracks(1, 2, duration=600))], [worker("w", rate=9)], shard_seconds=60)
    assert shards == [
        NewShard("w", "q.w", "j", (1,), 5400.0),
        NewShard("w", "q.w", "j", (2,), 5400.0),
    ]


@pytest.mark.parametrize("lane", list(Lane))
def test_placement_spends_the_budget_on_a_long_track(lane: Lane) -> None:
    """A first track much longer than the mean is no reason to wait, only its price is."""
    waiting = [*tracks(1, 1, duration=600), *tracks(2, 60, duration=10)]
    workers = [worker("w", price=3.6)]  # 60 s and 0.06 dollars for the long one
    for money, first in ((0.07, (1,)), (0.05, ())):
        view = job("j", waiting, about=job_priority(lane=lane), money=money)
        shards = place([view], workers, shard_seconds=10)
        assert [s.track_ids for s in shards][:1] == [first] * bool(first)


def test_placement_ignores_the_budget_for_a_free_worker() -> None:
    view = job("j", tracks(1, 9), money=-1.0)
    assert place([view], [worker("w")], shard_seconds=SHARD_SECONDS)


def test_placement_uses_a_worker_that_failed_when_all_did() -> None:
    failed = [replace(tracks(1, 1)[0], avoid=frozenset({"a", "b"}), is_alone=True)]
    shards = place([job("j", failed)], [worker("a"), worker("b")], shard_seconds=60)
    assert [s.track_ids for s in shards] == [(1,)]


@given(st.floats(0, 1e6), st.floats(0, 1000), st.floats(1, 600))
def test_shard_budget_leaves_work_for_all_workers(
    work: float, workers: float, longest: float
) -> None:
    budget = shard_budget(work_seconds=work, equal_workers=workers, max_seconds=longest)
    assert 0 <= budget <= longest
    assert budget * max(workers, 1) <= work * (1 + 1e-9) or math.isclose(budget, longest)


def test_placement_without_work_or_workers_is_empty() -> None:
    assert place([], [worker("w")], shard_seconds=SHARD_SECONDS) == []
    assert place([job("j", tracks(1, 3))], [], shard_seconds=SHARD_SECONDS) == []
    assert place([job("j", [])], [worker("w")], shard_seconds=SHARD_SECONDS) == []
