"""Mutation tests: each guard is removed once, and the stateful farm test must fail without it.

The end of a lease closes its attempts, and so does the end of the last job that wants a track. In
the database the checks of a commit therefore cover for each other: the check of the lease is
removed here together with that of the attempt, and instead of the check of the track's state the
rule that only leased tracks are in progress. test_leases.py covers the removal of each single
check.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.scheduler.random_farm import RandomFarm
from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.db import leases, tracks
from trackfarm_scheduler.policy import leases as rules
from trackfarm_scheduler.policy.leases import ClaimVerdict, CommitRefusal, judge_commit
from trackfarm_scheduler.policy.models import ClaimFacts, CommitFacts
from trackfarm_scheduler.policy.states import AttemptState, LeaseState
from trackfarm_scheduler.results import classifier

pytestmark = pytest.mark.soak

Verdict = TrackState | CommitRefusal


def commit_under_any_lease(facts: CommitFacts | None, *, object_key: str) -> Verdict:
    live = facts and replace(facts, lease=LeaseState.LIVE, attempt=AttemptState.OPEN)
    return judge_commit(live, object_key=object_key)


def commit_any_object(facts: CommitFacts | None, *, object_key: str) -> Verdict:
    return judge_commit(facts, object_key=facts.object_key if facts else object_key)


def end_own_leases_only(session: Any, job_id: str, now: float, *, reason: str) -> None:
    for lease in leases.list_live(session, job_id):
        leases.end(session, lease, now, reason=reason, left_open=AttemptState.CANCELLED)


def return_without_check(session: Any, track_ids: Any, **values: object) -> list[int]:
    return tracks.move(session, track_ids, TrackState.PENDING, source=TrackState.LEASED, **values)


def cancel_none(session: Any, track_ids: Any, now: float) -> None:
    """Leave the other leases live."""


def claim_of_any_worker(facts: ClaimFacts, *, worker_id: str, worker_queue: str) -> ClaimVerdict:
    free = facts.lease is LeaseState.LIVE and facts.job is not JobState.CANCELLED
    return ClaimVerdict.GRANTED if free else ClaimVerdict.NOT_YOURS


MUTATIONS: list[tuple[Any, Callable[..., Any], Callable[..., Any]]] = [
    (classifier, judge_commit, commit_under_any_lease),
    (classifier, judge_commit, commit_any_object),
    (leases, leases.end_all, end_own_leases_only),
    (leases, leases.return_to_pending, return_without_check),
    (leases, leases.cancel_duplicates, cancel_none),
    (rules, rules.judge_claim, claim_of_any_worker),
]


@pytest.mark.parametrize(
    ("module", "guard", "mutant"), MUTATIONS, ids=lambda m: getattr(m, "__name__", None)
)
def test_farm_fails_without_guard(
    sqlite_template: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    guard: Callable[..., Any],
    mutant: Callable[..., Any],
) -> None:
    RandomFarm.template = sqlite_template
    monkeypatch.setattr(module, guard.__name__, mutant)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever notices first
        run_state_machine_as_test(
            RandomFarm,
            settings=settings(
                max_examples=200,
                stateful_step_count=40,
                deadline=None,
                phases=[Phase.generate],
                database=None,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
