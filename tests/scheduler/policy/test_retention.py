"""Retention periods."""

from trackfarm_scheduler.policy.retention import RetentionSeconds, cutoffs


def test_cutoffs_follow_from_the_clock() -> None:
    due = cutoffs(RetentionSeconds(uploads=10, events=100, urls=5, calls=50), now=1_000)
    assert (due.uploads, due.events, due.removals, due.calls) == (990, 900, 995, 950)
