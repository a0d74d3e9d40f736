"""Retry policy: effect of a failure, and the end of a job."""

import random
from dataclasses import replace
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.protocol.operator import JobState, TrackCounts
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.policy.retry import (
    BACKOFF_MAX,
    DISTINCT_WORKERS,
    FINAL,
    MAX_CRASHES,
    MAX_FAILURES,
    FailureHistory,
    GiveUp,
    Retry,
    backoff,
    job_ending,
    judge_failure,
)
from trackfarm_scheduler.policy.states import CRASHES, INFRASTRUCTURE

FIRST = FailureHistory(failures=1, crashes=0, distinct_workers=1, eligible=8)
ENDLESS = FailureHistory(failures=999, crashes=999, distinct_workers=99, eligible=99)
PLAIN = set(FailureKind) - FINAL - INFRASTRUCTURE - CRASHES
kinds = st.sampled_from(FailureKind)
histories = st.builds(
    FailureHistory,
    failures=st.integers(1, 20),
    crashes=st.integers(0, 5),
    distinct_workers=st.integers(1, 8),
    eligible=st.integers(0, 8),
)


def middle() -> float:
    return 0.5


@pytest.mark.parametrize("kind", sorted(FINAL))
def test_retry_gives_up_final_failures_at_once(kind: FailureKind) -> None:
    assert judge_failure(kind, FIRST, middle) == GiveUp("a retry cannot help")


@pytest.mark.parametrize("kind", sorted(INFRASTRUCTURE))
def test_retry_never_counts_infrastructure_faults(kind: FailureKind) -> None:
    for history in (FIRST, ENDLESS):
        wait = 30.0 if kind is FailureKind.SOURCE_UNREACHABLE else 1.0
        assert judge_failure(kind, history, middle) == Retry(wait, counted=False)


def test_retry_gives_up_a_track_too_large_for_the_largest_gpu() -> None:
    kind = FailureKind.OUT_OF_MEMORY
    for number in (1, 2):
        assert isinstance(judge_failure(kind, replace(FIRST, exhaustions=number), middle), Retry)
    alone = replace(FIRST, exhaustions=3)
    assert isinstance(judge_failure(kind, alone, middle), GiveUp)
    assert isinstance(judge_failure(kind, replace(alone, has_larger=True), middle), Retry)


@pytest.mark.parametrize("kind", sorted(PLAIN | CRASHES))
def test_retry_repeats_a_first_failure_at_once(kind: FailureKind) -> None:
    assert judge_failure(kind, FIRST, middle) == Retry(0.0, counted=True)


@pytest.mark.parametrize("kind", sorted(PLAIN))
@pytest.mark.parametrize("eligible", [2, 3, 8])
def test_retry_gives_up_after_enough_distinct_workers(kind: FailureKind, eligible: int) -> None:
    needed = min(DISTINCT_WORKERS, eligible)
    for workers in range(1, needed + 1):
        history = FailureHistory(workers, 0, workers, eligible)
        verdict = judge_failure(kind, history, middle)
        assert isinstance(verdict, GiveUp) == (workers == needed)


@pytest.mark.parametrize("kind", sorted(CRASHES))
def test_retry_gives_up_after_three_crashes(kind: FailureKind) -> None:
    for crashes in range(1, MAX_CRASHES + 1):
        history = FailureHistory(crashes, crashes, min(crashes, 2), 2)
        verdict = judge_failure(kind, history, middle)
        assert isinstance(verdict, GiveUp) == (crashes == MAX_CRASHES)


@pytest.mark.parametrize("eligible", [0, 1])
@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_retry_gives_up_on_a_farm_of_one_worker(kind: FailureKind, eligible: int) -> None:
    verdicts = [
        judge_failure(kind, FailureHistory(n, 0, 1, eligible), middle)
        for n in range(1, DISTINCT_WORKERS + 1)
    ]
    assert [isinstance(v, GiveUp) for v in verdicts] == [False] * (DISTINCT_WORKERS - 1) + [True]


@given(kinds, histories)
def test_retry_ends_for_everything_that_counts(kind: FailureKind, history: FailureHistory) -> None:
    verdict = judge_failure(kind, history, middle)
    match verdict:
        case GiveUp():
            assert kind not in INFRASTRUCTURE
        case Retry(counted=False):
            assert kind in INFRASTRUCTURE
        case Retry():
            assert history.failures < MAX_FAILURES
            assert 0 <= verdict.delay <= 1.25 * BACKOFF_MAX


def test_backoff_doubles_to_a_minute() -> None:
    curve = [backoff(n, middle) for n in range(1, 11)]
    assert curve == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("failures", [2, 5, 20])
def test_backoff_jitter_is_uniform(failures: int) -> None:
    """Check the mean and the spread of a uniform +-25 %, not only the bounds."""
    curve = backoff(failures, middle)
    chance = random.Random(7)
    shares = [backoff(failures, chance.random) / curve for _ in range(20_000)]
    assert 0.75 <= min(shares) < 0.751
    assert 1.249 < max(shares) <= 1.25
    assert fmean(shares) == pytest.approx(1.0, abs=0.005)
    assert stdev(shares) == pytest.approx(0.5 / 12**0.5, rel=0.02)
    for low in (0.75, 0.875, 1.0, 1.125):
        share = sum(low <= s < low + 0.125 for s in shares) / len(shares)
        assert share == pytest.approx(0.25, abs=0.015)


@pytest.mark.parametrize(
    ("counts", "ending"),
    [
        (TrackCounts(pending=1, done=9), None),
        (TrackCounts(leased=1, done=9), None),
        (TrackCounts(done=10), (JobState.DONE, "")),
        (TrackCounts(done=9, failed=1), (JobState.DONE, "1 tracks failed")),
        (TrackCounts(done=5, cancelled=5), (JobState.DONE, "")),
        (TrackCounts(failed=3), (JobState.FAILED, "no track succeeded")),
        (TrackCounts(failed=19, done=1), (JobState.DONE, "19 tracks failed")),
        (TrackCounts(failed=20, done=180), (JobState.DONE, "20 tracks failed")),
        (TrackCounts(failed=20, pending=180), None),
        (TrackCounts(failed=20, pending=179), (JobState.FAILED, "20 of 199 tracks failed")),
        (TrackCounts(failed=21, leased=179), (JobState.FAILED, "21 of 200 tracks failed")),
    ],
)
def test_job_ending_decides_every_case(
    counts: TrackCounts, ending: tuple[JobState, str] | None
) -> None:
    assert job_ending(counts) == ending


counts_of_jobs = st.builds(
    TrackCounts, **{name: st.integers(0, 500) for name in TrackCounts.model_fields}
)


@given(counts_of_jobs)
def test_job_ending_ends_a_job_without_open_tracks(counts: TrackCounts) -> None:
    ending = job_ending(counts)
    if not counts.pending and not counts.leased:
        assert ending is not None
    if ending == (JobState.DONE, ""):
        assert counts.failed == 0
