"""Job priority: lanes, deadlines, priorities, age, and shares of the farm over many ticks."""

from collections import Counter, deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scheduler.placement_builders import job, job_priority, tracks, worker
from trackfarm_scheduler.policy.models import JobPriority, JobView, Lane
from trackfarm_scheduler.policy.placement import place
from trackfarm_scheduler.policy.priority import BAND, aged_priority, is_in_danger, rank, weight

QUICK = job_priority(lane=Lane.INTERACTIVE)


def order(*jobs: JobPriority, now: float = 0.0) -> list[int]:
    """Return the indexes of the jobs in serving order."""
    return sorted(range(len(jobs)), key=lambda i: rank(jobs[i], 0.0, now))


def test_rank_puts_the_interactive_lane_first() -> None:
    doomed = job_priority(level=100, age=1e6, seconds_left=10, deadline=1)
    assert order(doomed, QUICK) == [1, 0]


def test_rank_puts_a_deadline_in_danger_before_priority() -> None:
    danger = job_priority(level=-100, seconds_left=100, deadline=120)
    safe = job_priority(level=50, seconds_left=100, deadline=130)
    assert (is_in_danger(danger, 0), is_in_danger(safe, 0)) == (True, False)
    assert order(safe, danger) == [1, 0]


def test_rank_ignores_a_safe_deadline() -> None:
    safe = job_priority(age=0, seconds_left=1, deadline=1e6)
    older = job_priority(age=5)
    assert order(safe, older) == [1, 0]


def test_rank_puts_the_tightest_deadline_first() -> None:
    jobs = [job_priority(seconds_left=500, deadline=at) for at in (300, 100, -50)]
    assert order(*jobs) == [2, 1, 0]


@given(st.floats(0, 1e5), st.floats(-1e5, 1e5), st.floats(0, 1e5))
def test_danger_only_grows_with_time(left: float, deadline: float, later: float) -> None:
    about = job_priority(seconds_left=left, deadline=deadline)
    if is_in_danger(about, 0):
        assert is_in_danger(about, later)


def test_rank_separates_bands_and_shares_within_one() -> None:
    busy = job_priority(level=int(BAND), in_flight_seconds=1e6)
    assert order(job_priority(), busy) == [1, 0], "a higher band goes first"
    near = replace(busy, level=int(BAND) - 1)
    assert order(near, job_priority()) == [1, 0], "the same band: the job with less in flight"


def test_rank_of_a_starving_job_rises() -> None:
    starving = job_priority(level=0)
    rival = job_priority(level=45)
    overtakes = [
        hour
        for hour in range(24)
        if order(replace(rival, last_shard_at=3600 * hour), starving, now=3600 * hour) == [1, 0]
    ]
    assert overtakes == list(range(5, 24)), "ten points an hour"
    assert aged_priority(starving, 3600) == pytest.approx(10)


def test_weight_doubles_with_ten_points() -> None:
    assert weight(10) / weight(0) == weight(-5) / weight(-15) == pytest.approx(2)


def shares(jobs: list[JobView], *, ticks: int, workers: int = 8) -> dict[str, float]:
    """Return the share of farm seconds per job when every worker always has the next shard."""
    pool = [worker(f"w{i}", shards=1) for i in range(workers)]
    running: deque[tuple[str, float]] = deque()
    seconds_by_job = Counter[str]()
    for _ in range(ticks):
        loads = Counter[str]()
        for name, seconds in running:
            loads[name] += seconds  # type: ignore[assignment]
        views = [
            replace(j, priority=replace(j.priority, in_flight_seconds=loads[j.id])) for j in jobs
        ]
        for shard in place(views, pool, shard_seconds=20.0):
            running.append((shard.job_id, shard.expected_seconds))
            seconds_by_job[shard.job_id] += shard.expected_seconds  # type: ignore[assignment]
        while len(running) > 2 * workers:
            running.popleft()
    total = sum(seconds_by_job.values())
    return {name: seconds / total for name, seconds in seconds_by_job.items()}


def test_shares_of_equal_jobs_are_equal() -> None:
    jobs = [
        job("large", tracks(1, 500), beyond=100_000),
        job("small", tracks(1_000, 500), beyond=1_000, about=job_priority(age=1)),
        job("long", tracks(2_000, 500, duration=40), beyond=1_000, about=job_priority(age=2)),
    ]
    for share in shares(jobs, ticks=60).values():
        assert share == pytest.approx(1 / 3, abs=0.03)


def test_shares_in_a_band_follow_the_weight() -> None:
    jobs = [
        job("nine", tracks(1, 500), beyond=9_000, about=job_priority(level=9)),
        job("zero", tracks(1_000, 500), beyond=9_000),
    ]
    share_by_job = shares(jobs, ticks=30, workers=40)
    assert share_by_job["nine"] / share_by_job["zero"] == pytest.approx(
        weight(9) / weight(0), rel=0.1
    )


def test_shares_of_a_lower_band_are_nothing_until_the_higher_is_done() -> None:
    jobs = [
        job("high", tracks(1, 500), beyond=9_000, about=job_priority(level=10)),
        job("low", tracks(1_000, 500), beyond=9_000),
    ]
    assert shares(jobs, ticks=20) == {"high": 1.0}
