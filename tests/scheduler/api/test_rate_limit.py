"""Token buckets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scheduler.clock import Clock
from trackfarm_scheduler.api.rate_limit import RateLimiter, address_network


def test_bucket_holds_a_minute_of_tokens_and_fills_evenly() -> None:
    clock = Clock()
    rates = RateLimiter(clock)
    assert [rates.take("a", 3).allowed for _ in range(4)] == [True, True, True, False]
    status = rates.take("a", 3)
    assert (status.left, status.wait, status.full_in) == (0, 20.0, 60.0)
    clock.advance(19.9)
    assert not rates.take("a", 3).allowed
    clock.advance(0.1)
    assert rates.take("a", 3).allowed
    assert rates.take("b", 3).left == 2


def test_is_empty_takes_no_token() -> None:
    clock = Clock()
    rates = RateLimiter(clock)
    assert not rates.is_empty("a", 1)
    rates.take("a", 1)
    assert rates.is_empty("a", 1)
    clock.advance(60)
    assert not rates.is_empty("a", 1)
    assert rates.take("a", 1).allowed


def test_buckets_unused_for_longest_are_dropped() -> None:
    rates = RateLimiter(Clock(), max_buckets=2)
    for name in ("a", "b", "a", "c"):
        rates.take(name, 1)
    assert not rates.take("a", 1).allowed
    assert rates.take("b", 1).allowed, "its bucket was dropped"


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 600))
def test_rate_and_one_bucket_are_never_exceeded(pauses: list[float], per_minute: int) -> None:
    clock = Clock()
    began, rates, allowed = clock(), RateLimiter(clock), 0
    for pause in pauses:
        clock.advance(pause)
        allowed += sum(rates.take("a", per_minute).allowed for _ in range(5))
    assert allowed <= per_minute * (1 + (clock() - began) / 60) + 1e-6


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unix socket", "unix socket"),
    ],
)
def test_ipv6_network_is_one_bucket(address: str, counted_as: str) -> None:
    assert address_network(address) == counted_as
