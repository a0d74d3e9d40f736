"""Possible steps of the stateful farm test with their frequencies; each names a method of the
farm."""

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from trackfarm.protocol.worker import FailureKind, TrackDone
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.offers import ShardOffer

CREW = 3
ASKED = [jobs.pause, jobs.resume, jobs.resume, jobs.cancel, jobs.retry, jobs.mark_out_of_budget]
Hold = tuple[int, ShardOffer]
Result = tuple[int, ShardOffer, TrackDone]
Step = tuple[str, dict[str, Any]]
T = TypeVar("T")


def step(
    name: str, often: int = 1, **drawn: st.SearchStrategy[Any]
) -> list[st.SearchStrategy[Step]]:
    """Return a step that calls a farm method with drawn arguments, `often` times as likely as
    others."""
    return [st.tuples(st.just(name), st.fixed_dictionaries(drawn))] * often


BUSY = {
    "race",
    "make",
    "finish",
    "fail",
    "release",
    "strand",
    "work_on",
    "report_late",
}  # steps that need work in progress
pick = st.integers(0, 30)
job = st.integers(0, 1)
anyone = st.integers(0, CREW - 1)
mostly_nobody = st.one_of(st.none(), st.none(), anyone)
STEPS = st.one_of(
    *step("dispatch", 2),
    *step("place", 2),
    *step("offer", job=job, number=st.integers(1, 4), who=anyone),
    *step("race", 2, job=job, who=anyone),
    *step("claim", 3, pick=pick, who=st.one_of(st.none(), anyone)),
    *step("work_on", 2, seconds=st.sampled_from([0.5, 3, 6])),
    *step("pass_time", seconds=st.sampled_from([13, 4000])),
    *step("change_the_leader"),
    *step("come_back_after_an_absence"),
    *step("lose_the_message", pick=pick),
    *step("make", 3, pick=pick),
    *step("report", 3, pick=pick, who=mostly_nobody, spoil=st.sampled_from([False, False, True])),
    *step("report_late", pick=pick),
    *step("pass_off", pick=pick, other=pick),
    *step("finish", 2, pick=pick),
    *step("fail", 2, pick=pick, kind=st.sampled_from(FailureKind), all_of_it=st.booleans()),
    *step("release", pick=pick, all_of_it=st.booleans()),
    *step("drain", who=anyone),
    *step("leave_and_join", 2, who=anyone),
    *step("ask", job=job, act=st.sampled_from(ASKED)),
    *step("strand", job=job),
    *step("submit_again", job=job),
    *step("remove", job=job),
    *step("swap", pick=pick),
)


def one_of(things: Sequence[T], pick: int) -> list[T]:
    """Return a list with one item, the newest for 0; empty when there is none."""
    return [things[-1 - pick % len(things)]] if things else []
