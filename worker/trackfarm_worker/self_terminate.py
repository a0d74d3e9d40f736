"""Self-termination: how a worker ends the rental of the machine that it runs on.

RunPod and Vast.ai put a key into each machine that can do nothing else: RUNPOD_API_KEY with
RUNPOD_POD_ID, and CONTAINER_API_KEY with CONTAINER_ID.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
import structlog
from pydantic import SecretStr
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_exponential

log = structlog.get_logger(__name__)
RETRY_SECONDS = (
    3600.0  # a network fault that cuts off the scheduler often cuts off the provider too
)
MAX_WAIT_SECONDS = 60.0
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_GONE_STATUSES = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class OwnRental:
    """The rental of this machine: `url` is the resource to delete, `key` authorises that."""

    provider: str
    url: str
    key: SecretStr


@dataclass(frozen=True, slots=True)
class _ProviderApi:
    base: str
    path: str
    machine: str
    key: str


_PROVIDER_APIS: Mapping[str, _ProviderApi] = {
    "runpod": _ProviderApi(
        "https://api.runpod.io", "/v2/pods/{}", "RUNPOD_POD_ID", "RUNPOD_API_KEY"
    ),
    "vast": _ProviderApi(
        "https://console.vast.ai", "/api/v0/instances/{}/", "CONTAINER_ID", "CONTAINER_API_KEY"
    ),
}


def own_rental(provider: str, environ: Mapping[str, str], *, base: str = "") -> OwnRental | None:
    """Return the rental of this machine, or None if the provider does not issue such a key or none
    is set. `base` replaces the address of the provider's API."""
    api = _PROVIDER_APIS.get(provider)
    if api is None:
        return None
    machine, key = environ.get(api.machine, ""), environ.get(api.key, "")
    if not machine or not key:
        return None
    url = (base or api.base).rstrip("/") + api.path.format(machine)
    return OwnRental(provider, url, SecretStr(key))


def terminate(
    rental: OwnRental,
    *,
    wait: Callable[..., float] | None = None,
    retry_seconds: float = RETRY_SECONDS,
) -> bool:
    """Ask the provider to end this rental, with retries for `retry_seconds`; True once it
    confirms. Often the machine stops before this returns. `wait` replaces the seconds between two
    attempts."""
    headers = {"Authorization": f"Bearer {rental.key.get_secret_value()}"}
    retrying = Retrying(
        retry=retry_if_result(lambda confirmed: not confirmed),
        stop=stop_after_delay(retry_seconds),
        wait=wait or wait_exponential(multiplier=2, max=MAX_WAIT_SECONDS),
        retry_error_callback=lambda _: False,
    )
    confirmed: bool = retrying(lambda: _delete(rental.url, headers))
    log.warning("self_termination_requested", provider=rental.provider, confirmed=confirmed)
    return confirmed


class RentalTermination:
    """One-time end of our rental, if there is one; concurrent callers wait for it."""

    def __init__(
        self, rental: OwnRental | None, *, wait: Callable[..., float] | None = None
    ) -> None:
        self._rental = rental
        self._wait = wait
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            rental, self._rental = self._rental, None
            if rental is not None:
                terminate(rental, wait=self._wait)


def _delete(url: str, headers: Mapping[str, str]) -> bool:
    try:
        response = httpx.delete(url, headers=dict(headers), timeout=TIMEOUT)
    except httpx.RequestError as error:
        log.warning("provider_unreachable", error=type(error).__name__)
        return False
    if not response.is_success and response.status_code not in _GONE_STATUSES:
        log.warning("self_termination_refused", status=response.status_code)
    return response.is_success or response.status_code in _GONE_STATUSES
