"""Retries of a message, and the limit after which it is given up."""

import pytest

from trackfarm_scheduler.webhooks.retry import (
    Answer,
    GiveUpDelivery,
    RetryDelivery,
    after_failure,
    pause_after,
)

DOWN = Answer(None, "connection refused")


def waits(tries: int, answer: Answer = DOWN, chance: float = 1.0) -> float:
    decision = after_failure(answer, tries=tries, since=0, now=100, keep_trying=1e9, chance=chance)
    assert isinstance(decision, RetryDelivery)
    return decision.at - 100


def test_waits_double_up_to_an_hour() -> None:
    assert [waits(n) for n in (1, 2, 3, 10, 11, 1000)] == [5, 10, 20, 2560, 3600, 3600]
    assert waits(3, chance=0.0) == 10


@pytest.mark.parametrize(("asked", "wait"), [(1.0, 5.0), (60.0, 60.0), (1e9, 3600.0)])
def test_a_receiver_may_ask_for_more_time(asked: float, wait: float) -> None:
    assert waits(1, Answer(429, retry_after=asked)) == wait


def test_what_would_come_too_late_is_given_up() -> None:
    late = after_failure(DOWN, tries=1, since=0, now=100, keep_trying=104, chance=1.0)
    assert late == GiveUpDelivery("not delivered within 104 s")
    in_time = after_failure(DOWN, tries=1, since=0, now=100, keep_trying=105, chance=1.0)
    assert in_time == RetryDelivery(105)


def test_a_receiver_that_is_gone_is_not_asked_again() -> None:
    decision = after_failure(Answer(410), tries=1, since=0, now=0, keep_trying=1e9, chance=0.0)
    assert isinstance(decision, GiveUpDelivery)


def test_a_receiver_that_fails_is_left_alone_for_longer_and_longer() -> None:
    assert [pause_after(n, 1.0) for n in (1, 2, 3, 9, 10, 2000)] == [1, 2, 4, 256, 300, 300]
    assert pause_after(10, 0.0) == 150
