"""Rate limits by API key, by worker, and by address for failed authentication."""

import math

from fastapi import Request

from trackfarm_scheduler.access import Identity
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.rates import MINUTE, Rates, Standing, neighbourhood


def count_key(request: Request, identity: Identity) -> None:
    """Count a request against the key's rate limit. Raises Refused (429)."""
    if identity.rate is None:
        return
    standing = _rates(request).take(identity.key_id, identity.rate)
    request.state.standing = standing
    if not standing.allowed:
        raise _too_many(standing, f"this key may send {identity.rate} requests a minute")


def count_worker(request: Request, worker_id: str) -> None:
    """Count a request against the worker's rate limit. Raises Refused (429)."""
    state = request.app.state
    limit = state.farm.settings.worker_rate
    if not state.rates.spend(worker_id, limit):
        standing = state.rates.take(worker_id, limit)
        raise _too_many(standing, f"a worker may send {limit} requests a minute")


def count_guess(request: Request) -> None:
    """Count an unknown key or token against the rate limit of the client's address."""
    _rates(request).take(_guesser(request), _farm(request).settings.guess_rate)


def refuse_guesser(request: Request, *, met_before: bool) -> None:
    """Refuse a lookup for an address that has sent too many wrong keys. Raises Refused (429).

    A key that was valid recently (`met_before`) is still looked up, because an innocent client may
    share the address.
    """
    limit, name = _farm(request).settings.guess_rate, _guesser(request)
    if met_before or not _rates(request).is_empty(name, limit):
        return
    raise _too_many(_rates(request).take(name, limit), "too many wrong keys from this address")


def limit_headers(standing: Standing) -> list[tuple[bytes, bytes]]:
    """Return the RateLimit fields of draft-ietf-httpapi-ratelimit-headers-10."""
    reset = math.ceil(standing.full_in)
    return [
        (b"ratelimit-policy", f'"key";q={standing.limit};w={MINUTE:.0f}'.encode()),
        (b"ratelimit", f'"key";r={standing.left};t={reset}'.encode()),
    ]


def address_of(request: Request) -> str:
    """Return the client's address, empty if the server does not know it."""
    return request.client.host if request.client is not None else ""


def _guesser(request: Request) -> str:
    return f"guesses {neighbourhood(address_of(request))}"


def _too_many(standing: Standing, why: str) -> Refused:
    seconds = max(1, math.ceil(standing.wait))
    detail = f"{why}; try again in {seconds} s"
    return Refused(429, detail, headers={"Retry-After": str(seconds)})


def _rates(request: Request) -> Rates:
    rates: Rates = request.app.state.rates
    return rates


def _farm(request: Request) -> Farm:
    farm: Farm = request.app.state.farm
    return farm
