"""Lease rules: every verdict, from the facts alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.protocol.operator import JobState, TrackState, WorkerState
from trackfarm_scheduler.policy.leases import (
    ClaimVerdict,
    CommitRefusal,
    has_left_queue,
    heartbeat_interval,
    judge_claim,
    judge_commit,
    offer_is_lost,
    offers_allowed,
)
from trackfarm_scheduler.policy.models import ClaimFacts, CommitFacts
from trackfarm_scheduler.policy.states import LIVE_STATES, WORKING_STATES, AttemptState, LeaseState

OFFERED = ClaimFacts(LeaseState.LIVE, None, "gpu.vram24.tiny", JobState.RUNNING)
LEASED = CommitFacts(LeaseState.LIVE, AttemptState.OPEN, "k", TrackState.LEASED)


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (OFFERED, ClaimVerdict.GRANTED),
        (replace(OFFERED, holder="me"), ClaimVerdict.GRANTED),
        (replace(OFFERED, holder="other"), ClaimVerdict.NOT_YOURS),
        (replace(OFFERED, queue="gpu.vram80.tiny"), ClaimVerdict.NOT_YOURS),
        (replace(OFFERED, holder="me", queue="gpu.vram80.tiny"), ClaimVerdict.NOT_YOURS),
        (replace(OFFERED, lease=LeaseState.ENDED), ClaimVerdict.NOT_YOURS),
        (replace(OFFERED, lease=LeaseState.ENDED, holder="me"), ClaimVerdict.NOT_YOURS),
        (replace(OFFERED, job=JobState.CANCELLED), ClaimVerdict.CANCELLED),
        (
            replace(OFFERED, lease=LeaseState.ENDED, job=JobState.CANCELLED),
            ClaimVerdict.CANCELLED,
        ),
    ],
)
def test_judge_claim_decides_every_case(facts: ClaimFacts, verdict: ClaimVerdict) -> None:
    assert judge_claim(facts, worker_id="me", worker_queue="gpu.vram24.tiny") is verdict


@pytest.mark.parametrize(
    ("facts", "key", "verdict"),
    [
        (LEASED, "k", TrackState.LEASED),
        (LEASED, "other", CommitRefusal.OTHER_OBJECT),
        (replace(LEASED, lease=LeaseState.ENDED), "k", CommitRefusal.LEASE_ENDED),
        # The state of a track that was never in this shard is not revealed.
        (None, "k", CommitRefusal.NOT_IN_SHARD),
        (replace(LEASED, attempt=AttemptState.FAILED), "k", CommitRefusal.NOT_IN_SHARD),
        (replace(LEASED, attempt=AttemptState.RELEASED), "k", CommitRefusal.NOT_IN_SHARD),
        (replace(LEASED, track=TrackState.CANCELLED), "k", CommitRefusal.TRACK_CLOSED),
        (replace(LEASED, track=TrackState.PENDING), "k", CommitRefusal.TRACK_CLOSED),
        (replace(LEASED, track=TrackState.FAILED), "k", CommitRefusal.TRACK_CLOSED),
        # Done already, by any worker and with any lease state: the worker may drop its result.
        (replace(LEASED, track=TrackState.DONE), "k", TrackState.DONE),
        (
            CommitFacts(LeaseState.ENDED, AttemptState.EXPIRED, "k", TrackState.DONE),
            "k",
            TrackState.DONE,
        ),
    ],
)
def test_judge_commit_decides_every_case(
    facts: CommitFacts | None, key: str, verdict: TrackState | CommitRefusal
) -> None:
    assert judge_commit(facts, object_key=key) is verdict


@given(
    st.sampled_from(LeaseState),
    st.sampled_from(AttemptState),
    st.sampled_from(["k", "other"]),
    st.sampled_from(TrackState),
)
def test_judge_commit_needs_a_live_lease_and_its_open_track(
    lease: LeaseState, attempt: AttemptState, key: str, track: TrackState
) -> None:
    verdict = judge_commit(CommitFacts(lease, attempt, "k", track), object_key=key)
    commits = CommitFacts(lease, attempt, key, track) == LEASED
    assert (verdict is TrackState.LEASED) == commits


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_message_has_left_the_queue_when_only_later_ones_wait(
    before: int, later: int, taken: int
) -> None:
    """A first-in-first-out queue with our message between `before` and `later` others."""
    taken = min(taken, before + 1 + later)
    waiting = before + 1 + later - taken
    assert has_left_queue(later_offers=later, queue_length=waiting) == (taken > before)


@pytest.mark.parametrize(
    ("left_at", "workers", "lost"),
    [
        (None, 1, False),
        (100.0, 1, False),
        (95.1, 1, False),
        (95.0, 1, True),
        (0.0, 1, True),
        (None, 0, True),
        (100.0, 0, True),
    ],
)
def test_offer_is_lost_without_a_worker_or_claim(
    left_at: float | None, workers: int, lost: bool
) -> None:
    verdict = offer_is_lost(left_at=left_at, now=100.0, claim_within=5.0, live_workers=workers)
    assert verdict is lost


@given(st.integers(0, 100_000), st.floats(1, 30))
def test_heartbeat_interval_is_bounded(workers: int, slowest: float) -> None:
    interval = heartbeat_interval(workers, slowest=slowest)
    assert min(1.0, slowest) <= interval <= slowest
    if interval < slowest and workers:
        assert workers / interval <= 100.001


def test_heartbeat_interval_grows_with_the_farm() -> None:
    assert heartbeat_interval(1, slowest=5.0) == 1.0
    assert heartbeat_interval(1000, slowest=5.0) == 5.0


def test_working_states_are_ready_and_busy() -> None:
    assert WORKING_STATES < LIVE_STATES
    assert LIVE_STATES.isdisjoint(
        {WorkerState.DRAINING, WorkerState.LOST, WorkerState.GONE, WorkerState.QUARANTINED}
    )


def test_offers_allowed_are_few_while_claims_are_slow() -> None:
    assert offers_allowed([]) == 200
    assert offers_allowed([0.5] * 150) == 50
    assert offers_allowed([0.5] * 300) == 0
    assert offers_allowed([9.0] * 51) == 0, "most wait long: no more are added"
    assert offers_allowed([9.0] * 40) == 160, "a few waiting offers belong to busy workers"
    assert offers_allowed([9.0] * 40 + [0.1] * 60) == 100
