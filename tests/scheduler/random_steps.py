"""Possible steps of the stateful farm test with their frequencies; each names a method of the
farm."""

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from trackfarm.protocol.worker import FailureKind, TrackDone
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.offers import ShardOffer

WORKERS = 3
JOB_ACTIONS = [
    jobs.pause,
    jobs.resume,
    jobs.resume,
    jobs.cancel,
    jobs.retry,
    jobs.mark_out_of_budget,
]
Hold = tuple[int, ShardOffer]
Result = tuple[int, ShardOffer, TrackDone]
Step = tuple[str, dict[str, Any]]
T = TypeVar("T")


def step(
    name: str, weight: int = 1, **arguments: st.SearchStrategy[Any]
) -> list[st.SearchStrategy[Step]]:
    """Return a step that calls a farm method with drawn arguments, `often` times as likely as
    others."""
    return [st.tuples(st.just(name), st.fixed_dictionaries(arguments))] * weight


NEEDS_WORK = {
    "race",
    "make",
    "finish",
    "fail",
    "release",
    "strand",
    "work_on",
    "report_late",
}  # steps that need work in progress
choice = st.integers(0, 30)
job = st.integers(0, 1)
any_worker = st.integers(0, WORKERS - 1)
mostly_own = st.one_of(st.none(), st.none(), any_worker)
STEPS = st.one_of(
    *step("dispatch", 2),
    *step("place", 2),
    *step("offer", job=job, number=st.integers(1, 4), worker_index=any_worker),
    *step("race", 2, job=job, worker_index=any_worker),
    *step("claim", 3, choice=choice, worker_index=st.one_of(st.none(), any_worker)),
    *step("work_on", 2, seconds=st.sampled_from([0.5, 3, 6])),
    *step("pass_time", seconds=st.sampled_from([13, 4000])),
    *step("change_the_leader"),
    *step("come_back_after_an_absence"),
    *step("lose_the_message", choice=choice),
    *step("make", 3, choice=choice),
    *step(
        "report",
        3,
        choice=choice,
        worker_index=mostly_own,
        spoil=st.sampled_from([False, False, True]),
    ),
    *step("report_late", choice=choice),
    *step("pass_off", choice=choice, other=choice),
    *step("finish", 2, choice=choice),
    *step("fail", 2, choice=choice, kind=st.sampled_from(FailureKind), all_of_it=st.booleans()),
    *step("release", choice=choice, all_of_it=st.booleans()),
    *step("drain", worker_index=any_worker),
    *step("leave_and_join", 2, worker_index=any_worker),
    *step("ask", job=job, act=st.sampled_from(JOB_ACTIONS)),
    *step("strand", job=job),
    *step("submit_again", job=job),
    *step("remove", job=job),
    *step("swap", choice=choice),
)


def pick_one(items: Sequence[T], choice: int) -> list[T]:
    """Return a list with one item, the newest for 0; empty when there is none."""
    return [items[-1 - choice % len(items)]] if items else []
