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


def any_lease(facts: CommitFacts | None, *, object_key: str) -> Verdict:
    live = facts and replace(facts, lease=LeaseState.LIVE, attempt=AttemptState.OPEN)
    return judge_commit(live, object_key=object_key)


def any_object(facts: CommitFacts | None, *, object_key: str) -> Verdict:
    return judge_commit(facts, object_key=facts.object_key if facts else object_key)


def end_only_its_own(session: Any, job_id: str, now: float, *, reason: str) -> None:
    for lease in leases.list_live(session, job_id):
        leases.end(session, lease, now, reason=reason, left_open=AttemptState.CANCELLED)


def back_without_looking(session: Any, track_ids: Any, **values: object) -> list[int]:
    return tracks.move(session, track_ids, TrackState.PENDING, source=TrackState.LEASED, **values)


def overtake_nobody(session: Any, track_ids: Any, now: float) -> None:
    """Leave the other leases live."""


def anybodys_claim(facts: ClaimFacts, *, worker_id: str, worker_queue: str) -> ClaimVerdict:
    free = facts.lease is LeaseState.LIVE and facts.job is not JobState.CANCELLED
    return ClaimVerdict.GRANTED if free else ClaimVerdict.NOT_YOURS


MUTATIONS: list[tuple[Any, str, Callable[..., Any]]] = [
    (classifier, "judge_commit", any_lease),
    (classifier, "judge_commit", any_object),
    (leases, "end_all", end_only_its_own),
    (leases, "return_to_pending", back_without_looking),
    (leases, "overtake", overtake_nobody),
    (rules, "judge_claim", anybodys_claim),
]


@pytest.mark.parametrize(
    ("module", "name", "mutant"), MUTATIONS, ids=lambda m: getattr(m, "__name__", None)
)
def test_it_goes_wrong_without(
    sqlite_template: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    mutant: Callable[..., Any],
) -> None:
    RandomFarm.template = sqlite_template
    monkeypatch.setattr(module, name, mutant)
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
