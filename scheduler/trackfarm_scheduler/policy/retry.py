"""Retry policy (pure): retry with a delay or give up a track, and when a job has failed.

Infrastructure faults never count against a track; some failures are final at once; the rest is
forgiven until enough distinct workers agree.
"""

from collections.abc import Callable
from dataclasses import dataclass

from trackfarm.protocol.operator import JobState, TrackCounts
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.policy.states import CRASHES, INFRASTRUCTURE

FINAL = frozenset({FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED_TASK})
# Seconds before a retry that depends on a third-party server.
RETRY_SECONDS = {FailureKind.SOURCE_UNREACHABLE: 30.0}

DISTINCT_WORKERS = 3
MAX_CRASHES = 3
MAX_EXHAUSTIONS = 3  # on the largest GPUs available; another process may have held the memory
MAX_FAILURES = 6  # bounds the tries of the only eligible worker
FAILED_SHARE = 0.10
FAILED_AT_LEAST = 20
BACKOFF_BASE = 1.0
BACKOFF_MAX = 60.0


@dataclass(frozen=True, slots=True)
class FailureHistory:
    """All failures of one track, including the newest. `eligible`: live workers that could try;
    `exhaustions`: failures for lack of memory on workers; `has_larger`: some live worker has more
    memory than the one that failed now."""

    failures: int
    crashes: int
    distinct_workers: int
    eligible: int
    exhaustions: int = 0
    has_larger: bool = False

    @property
    def is_too_large(self) -> bool:
        return not self.has_larger and self.exhaustions >= MAX_EXHAUSTIONS


@dataclass(frozen=True, slots=True)
class Retry:
    delay: float
    counted: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    reason: str


def backoff(failures: int, jitter: Callable[[], float]) -> float:
    """Return the seconds to wait after the n-th failure: none after the first crash-free one, then
    doubling from one second to a minute, spread by +-25 %. `jitter()` is uniform in [0, 1)."""
    if failures <= 1:
        return 0.0
    curve = min(BACKOFF_MAX, BACKOFF_BASE * 2.0 ** (failures - 2))
    return curve * (0.75 + 0.5 * jitter())


def judge_failure(
    kind: FailureKind, history: FailureHistory, jitter: Callable[[], float]
) -> Retry | GiveUp:
    if kind in FINAL:
        return GiveUp("a retry cannot help")
    if kind is FailureKind.OUT_OF_MEMORY and history.is_too_large:
        return GiveUp("no worker has enough GPU memory; add a larger GPU and `retry` the job")
    if kind in INFRASTRUCTURE:
        return Retry(RETRY_SECONDS.get(kind, BACKOFF_BASE) * (0.75 + 0.5 * jitter()), counted=False)
    if history.crashes >= MAX_CRASHES:
        return GiveUp(f"it crashed the engine {history.crashes} times")
    needed = min(DISTINCT_WORKERS, max(history.eligible, 1))
    if history.eligible > 1 and history.distinct_workers >= needed and kind not in CRASHES:
        return GiveUp(f"it failed on {history.distinct_workers} workers")
    if history.failures >= (MAX_FAILURES if history.eligible > 1 else DISTINCT_WORKERS):
        return GiveUp(f"it failed {history.failures} times")
    return Retry(backoff(history.failures, jitter), counted=True)


def job_ending(counts: TrackCounts, *, is_over_budget: bool = False) -> tuple[JobState, str] | None:
    """Return the final state and reason of a job, or None while it is in progress."""
    if counts.failed >= FAILED_AT_LEAST and counts.failed > FAILED_SHARE * counts.total:
        return JobState.FAILED, f"{counts.failed} of {counts.total} tracks failed"
    if is_over_budget and counts.pending and not counts.leased:
        return JobState.OUT_OF_BUDGET, f"the budget is spent; {counts.pending} tracks are not made"
    if counts.pending or counts.leased:
        return None
    if counts.done == 0 and counts.failed:
        return JobState.FAILED, "no track succeeded"
    return JobState.DONE, f"{counts.failed} tracks failed" if counts.failed else ""
