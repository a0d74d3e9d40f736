"""Rate limits by API key, by worker, and by address for failed authentication: token buckets in
memory, separate for each scheduler."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from fastapi import Request

from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.policy.identity import Identity
from trackfarm_scheduler.services import Services

MINUTE = 60.0
MAX_BUCKETS = 10_000
_STATUS = "rate_limit_status"  # name in the state of a request
IPV6_PREFIX = 64  # the smallest network that a provider gives to one customer


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
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


class RateLimiter:
    """Token buckets by name; a full bucket holds the tokens of one minute. Memory is bounded: the
    names unused for longest are dropped, which gives them a full bucket again.

    Used from one event loop.
    """

    def __init__(self, clock: Callable[[], float], max_buckets: int = MAX_BUCKETS) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def spend(self, name: str, per_minute: int) -> bool:
        """Take a token for one request; False when there is none."""
        bucket = self._filled(name, per_minute)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def take(self, name: str, per_minute: int) -> RateLimitStatus:
        """Take a token like `spend`, and return the rate limit status."""
        wait = 0.0
        if not self.spend(name, per_minute):
            wait = (1 - self._buckets[name].tokens) * MINUTE / per_minute
        bucket = self._buckets[name]
        full_in = (per_minute - bucket.tokens) * MINUTE / per_minute
        return RateLimitStatus(per_minute, math.floor(bucket.tokens), wait, full_in)

    def is_empty(self, name: str, per_minute: int) -> bool:
        """Return whether the next request under this name would have to wait."""
        return name in self._buckets and self._filled(name, per_minute).tokens < 1

    def _filled(self, name: str, per_minute: int) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= self._max_buckets:
                self._buckets.popitem(last=False)
            bucket = self._buckets[name] = _Bucket(per_minute, now)
            return bucket
        self._buckets.move_to_end(name)
        earned = (now - bucket.at) * per_minute / MINUTE
        bucket.tokens = min(per_minute, bucket.tokens + earned)
        bucket.at = now
        return bucket


def address_network(address: str) -> str:
    """Return the unit that shares a limit: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_PREFIX), strict=False))
    return address


def count_key_request(request: Request, identity: Identity) -> None:
    """Count a request against the key's rate limit. Raises ApiError (429)."""
    if identity.rate is None:
        return
    status = _limiter(request).take(identity.key_id, identity.rate)
    setattr(request.state, _STATUS, status)
    if not status.allowed:
        raise _too_many(status, f"this key may send {identity.rate} requests a minute")


def count_worker_request(request: Request, worker_id: str) -> None:
    """Count a request against the worker's rate limit. Raises ApiError (429)."""
    state = request.app.state
    limit = state.services.settings.worker_rate
    if not state.rate_limiter.spend(worker_id, limit):
        status = state.rate_limiter.take(worker_id, limit)
        raise _too_many(status, f"a worker may send {limit} requests a minute")


def count_failed_login(request: Request) -> None:
    """Count an unknown key or token against the rate limit of the client's address."""
    _limiter(request).take(_failures_of(request), _services(request).settings.guess_rate)


def refuse_repeated_failures(request: Request, *, was_valid: bool) -> None:
    """Refuse a lookup for an address that has sent too many wrong keys. Raises ApiError (429).

    A key that was valid recently (`was_valid`) is still looked up, because an innocent client may
    share the address.
    """
    limit, name = _services(request).settings.guess_rate, _failures_of(request)
    if was_valid or not _limiter(request).is_empty(name, limit):
        return
    raise _too_many(_limiter(request).take(name, limit), "too many wrong keys from this address")


def limit_headers(state: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return the RateLimit fields of draft-ietf-httpapi-ratelimit-headers-10 for a response; `state`
    is that of its request, which holds the status if a limit applied to its key."""
    status: RateLimitStatus | None = state.get(_STATUS)
    if status is None:
        return []
    reset = math.ceil(status.full_in)
    return [
        (b"ratelimit-policy", f'"key";q={status.limit};w={MINUTE:.0f}'.encode()),
        (b"ratelimit", f'"key";r={status.left};t={reset}'.encode()),
    ]


def address_of(request: Request) -> str:
    """Return the client's address, empty if the server does not know it."""
    return request.client.host if request.client is not None else ""


def _failures_of(request: Request) -> str:
    return f"guesses {address_network(address_of(request))}"


def _too_many(status: RateLimitStatus, reason: str) -> ApiError:
    seconds = max(1, math.ceil(status.wait))
    detail = f"{reason}; try again in {seconds} s"
    return ApiError(429, detail, headers={"Retry-After": str(seconds)})


def _limiter(request: Request) -> RateLimiter:
    limiter: RateLimiter = request.app.state.rate_limiter
    return limiter


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
