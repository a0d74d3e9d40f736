"""Rate limits: token buckets in memory, separate for each scheduler."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

MINUTE = 60.0
MOST_BUCKETS = 10_000
IPV6_PREFIX = 64  # the smallest network that a provider gives to one customer


@dataclass(frozen=True, slots=True)
class Standing:
    """Rate limit status after a request: `left` tokens; `wait` seconds until the next request is
    allowed, 0 when this one was; `full_in` seconds until all `limit` tokens are back."""

    limit: int
    left: int
    wait: float
    full_in: float

    @property
    def allowed(self) -> bool:
        return self.wait == 0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Rates:
    """Token buckets by name; a full bucket holds the tokens of one minute. Memory is bounded: the
    names unused for longest are dropped, which gives them a full bucket again.

    Used from one event loop.
    """

    def __init__(self, clock: Callable[[], float], most: int = MOST_BUCKETS) -> None:
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def spend(self, name: str, per_minute: int) -> bool:
        """Take a token for one request; False when there is none."""
        bucket = self._filled(name, per_minute)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def take(self, name: str, per_minute: int) -> Standing:
        """Take a token like `spend`, and return the rate limit status."""
        wait = 0.0
        if not self.spend(name, per_minute):
            wait = (1 - self._buckets[name].tokens) * MINUTE / per_minute
        bucket = self._buckets[name]
        full_in = (per_minute - bucket.tokens) * MINUTE / per_minute
        return Standing(per_minute, math.floor(bucket.tokens), wait, full_in)

    def is_empty(self, name: str, per_minute: int) -> bool:
        """Return whether the next request under this name would have to wait."""
        return name in self._buckets and self._filled(name, per_minute).tokens < 1

    def _filled(self, name: str, per_minute: int) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= self._most:
                self._buckets.popitem(last=False)
            bucket = self._buckets[name] = _Bucket(per_minute, now)
            return bucket
        self._buckets.move_to_end(name)
        earned = (now - bucket.at) * per_minute / MINUTE
        bucket.tokens = min(per_minute, bucket.tokens + earned)
        bucket.at = now
        return bucket


def neighbourhood(address: str) -> str:
    """Return the unit that shares a limit: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_PREFIX), strict=False))
    return address
