"""Busy time of a worker, computed from its reports."""

import itertools
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from trackfarm_scheduler.policy.busy_time import busy_intervals
from trackfarm_scheduler.policy.models import LostLease, ReportedRun


def made(at: float, seconds: float, *, kept: bool = True, job: str = "a") -> ReportedRun:
    return ReportedRun(at, seconds, kept, job)


def test_busy_time_counts_tracks_of_a_batch_once() -> None:
    (stretch,) = busy_intervals([made(100, 10), made(100, 10), made(100, 10)], [])
    assert (stretch.start, stretch.end, stretch.kept) == (70, 100, True)


def test_busy_time_separates_jobs_and_outcomes() -> None:
    intervals = busy_intervals([made(121, 1, job="b"), made(120, 5, kept=False), made(100, 10)], [])
    assert [(s.start, s.end, s.kept, s.job) for s in intervals] == [
        (90, 100, True, "a"),
        (115, 120, False, "a"),
        (120, 121, True, "b"),
    ]


def test_busy_time_of_a_lost_lease_is_not_kept() -> None:
    intervals = busy_intervals([made(100, 10)], [LostLease(95, 130, "a")])
    assert [(s.start, s.end, s.kept) for s in intervals] == [(90, 100, True), (95, 130, False)]


_made = st.builds(
    ReportedRun, st.floats(0, 1000), st.floats(0, 50), st.booleans(), st.sampled_from(["a", "b"])
)


@given(st.lists(_made, max_size=30))
def test_busy_time_counts_every_second_once(all_made: list[ReportedRun]) -> None:
    intervals = busy_intervals(sorted(all_made, key=lambda m: m.at, reverse=True), [])
    for before, after in itertools.pairwise(intervals):
        assert before.end <= after.start + 1e-9
    total = sum(attempt.seconds for attempt in all_made)
    assert abs(sum(s.end - s.start for s in intervals) - total) < 1e-6


def test_busy_time_of_many_tracks_without_a_pause_is_one_interval() -> None:
    tracemalloc.start()
    try:
        (stretch,) = busy_intervals((made(n, 1) for n in range(100_000, 0, -1)), [])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (stretch.start, stretch.end) == (0, 100_000)
    assert peak < 100_000
