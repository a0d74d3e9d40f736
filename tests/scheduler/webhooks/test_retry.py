"""Retries of a message, and the limit after which it is given up."""

import pytest

from trackfarm_scheduler.webhooks.retry import (
    GiveUpDelivery,
    ReceiverResponse,
    RetryDelivery,
    after_failure,
    pause_after,
)

DOWN = ReceiverResponse(None, "connection refused")


def waits(tries: int, response: ReceiverResponse = DOWN, jitter: float = 1.0) -> float:
    decision = after_failure(
        response, tries=tries, since=0, now=100, give_up_seconds=1e9, jitter=jitter
    )
    assert isinstance(decision, RetryDelivery)
    return decision.at - 100


def test_after_failure_doubles_the_wait_up_to_an_hour() -> None:
    assert [waits(n) for n in (1, 2, 3, 10, 11, 1000)] == [5, 10, 20, 2560, 3600, 3600]
    assert waits(3, jitter=0.0) == 10


@pytest.mark.parametrize(("retry_after", "wait"), [(1.0, 5.0), (60.0, 60.0), (1e9, 3600.0)])
def test_after_failure_waits_as_long_as_the_receiver_asks(retry_after: float, wait: float) -> None:
    assert waits(1, ReceiverResponse(429, retry_after=retry_after)) == wait


def test_after_failure_gives_up_when_the_next_try_is_too_late() -> None:
    late = after_failure(DOWN, tries=1, since=0, now=100, give_up_seconds=104, jitter=1.0)
    assert late == GiveUpDelivery("not delivered within 104 s")
    in_time = after_failure(DOWN, tries=1, since=0, now=100, give_up_seconds=105, jitter=1.0)
    assert in_time == RetryDelivery(105)


def test_after_failure_gives_up_a_receiver_that_is_gone() -> None:
    decision = after_failure(
        ReceiverResponse(410), tries=1, since=0, now=0, give_up_seconds=1e9, jitter=0.0
    )
    assert isinstance(decision, GiveUpDelivery)


def test_pause_doubles_with_consecutive_failures() -> None:
    assert [pause_after(n, 1.0) for n in (1, 2, 3, 9, 10, 2000)] == [1, 2, 4, 256, 300, 300]
    assert pause_after(10, 0.0) == 150
