"""Speculative copies as a pure function: assignment of workers to stragglers, and when a copy is
not worth it."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scheduler.placement_builders import TIERS, shape, some_workers, worker
from trackfarm_scheduler.policy.models import NewShard, OpenTrack, Straggler, WorkerView
from trackfarm_scheduler.policy.speculation import plan_copies, within_budgets


def straggler(
    name: str = "slow",
    *,
    first: int = 1,
    number: int = 4,
    left: float = 100.0,
    late: float = 0.0,
    silent: bool = False,
    leases: int = 1,
    vram: int = 4,
) -> Straggler:
    """Return a straggler with `number` tracks of ten seconds of audio each."""
    waiting = [OpenTrack(first + i, shape(), vram, leases) for i in range(number)]
    return Straggler(f"lease_{name}", name, "j", "tiny", waiting, left, late, silent)


def test_copy_is_the_later_half() -> None:
    idle = worker("fast", rate=0.5)  # five seconds a track
    assert plan_copies([straggler(number=5)], [idle]) == [
        NewShard("fast", "q.fast", "j", (3, 4, 5), 15.0)
    ]
    assert plan_copies([straggler(number=1)], [idle]) == [
        NewShard("fast", "q.fast", "j", (1,), 5.0)
    ]


@pytest.mark.parametrize(
    ("left", "late", "silent", "worth"),
    [
        (18.0, 0.0, False, True),
        (17.9, 0.0, False, False),
        (10.0, 8.0, False, True),
        (10.0, 7.9, False, False),
        (0.1, 0.0, True, True),
    ],
)
def test_copy_must_have_an_advantage(left: float, late: float, silent: bool, worth: bool) -> None:
    """Two tracks of five seconds and two to begin: the straggler must need half as much again."""
    slow = straggler(left=left, late=late, silent=silent)
    assert bool(plan_copies([slow], [worker("fast", rate=0.5)])) is worth


def test_copy_pairs_the_slowest_straggler_with_the_fastest_worker() -> None:
    slow, slower = straggler("a", left=50), straggler("b", first=10, left=90)
    silent = straggler("c", first=20, left=1, silent=True)
    workers = [worker("x", rate=0.3), worker("y", rate=0.1), worker("z", rate=0.2)]
    shards = plan_copies([slow, slower, silent], workers)
    assert [(s.worker_id, s.track_ids[0]) for s in shards] == [("y", 22), ("z", 12), ("x", 3)]


def test_copy_needs_another_worker_of_the_model_set() -> None:
    slow = straggler("me")
    assert plan_copies([slow], [worker("me"), worker("other", kind="turbo")]) == []


def test_copy_for_a_small_gpu_has_only_suitable_tracks() -> None:
    slow = straggler()
    mixed = replace(slow, tracks=[*slow.tracks, *straggler(first=9, vram=80).tracks])
    (shard,) = plan_copies([mixed], [worker("small", vram=24)])
    assert shard.track_ids == (3, 4)


def test_copy_is_never_a_third_lease() -> None:
    assert plan_copies([straggler(leases=2)], [worker("fast")]) == []
    twice = [straggler("a"), straggler("b")]  # of the same tracks
    one, other = plan_copies(twice, [worker("x"), worker("y")])
    assert set(one.track_ids).isdisjoint(other.track_ids)


stragglers = st.lists(
    st.builds(
        straggler,
        st.sampled_from(["w0", "w1", "gone"]),
        first=st.integers(1, 8),
        number=st.integers(0, 5),
        left=st.floats(0, 1000),
        late=st.floats(0, 1000),
        silent=st.booleans(),
        leases=st.integers(1, 2),
        vram=st.sampled_from(TIERS),
    ),
    max_size=4,
)


@given(stragglers, some_workers())
def test_copy_invariants_hold(lagging: list[Straggler], idle: list[WorkerView]) -> None:
    shards = plan_copies(lagging, idle)
    assert max(Counter(s.worker_id for s in shards).values(), default=1) == 1
    raced = [track_id for shard in shards for track_id in shard.track_ids]
    assert len(raced) == len(set(raced)), "a track is raced twice"
    workers = {w.id: w for w in idle}
    for shard in shards:
        target = workers[shard.worker_id]
        origin = [s for s in lagging if set(shard.track_ids) <= {t.id for t in s.tracks}]
        assert any(s.worker_id != shard.worker_id for s in origin)
        for s in origin:
            for t in s.tracks:
                if t.id in shard.track_ids:
                    assert t.min_vram <= target.vram or len(origin) > 1
                    assert t.live_leases < 2 or len(origin) > 1


def test_copy_is_paid_by_its_job() -> None:
    """A shard of 3600 s on a worker at one dollar per hour costs a dollar."""
    shards = [NewShard(f"w{i}", "q", name, (i,), 3600.0) for i, name in enumerate("aabbcd")]
    prices = {f"w{i}": 1.0 for i in range(6)}
    kept = within_budgets(shards, {"a": 1.5, "b": None, "c": 0.5}, prices)
    assert [s.worker_id for s in kept] == ["w0", "w2", "w3"], "d is not in progress"
