"""The machine that this worker runs on, as far as it can end its own rental.

RunPod and Vast.ai put a key into each machine that can do nothing but that: RUNPOD_API_KEY with
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
PATIENCE_S = 3600.0  # the network that hides a scheduler often hides the provider too
LONGEST_WAIT_S = 60.0
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_GONE = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class OwnRental:
    """`url` is what is deleted, `key` what may do it."""

    provider: str
    url: str
    key: SecretStr


@dataclass(frozen=True, slots=True)
class _Way:
    base: str
    path: str
    machine: str
    key: str


_WAYS: Mapping[str, _Way] = {
    "runpod": _Way("https://api.runpod.io", "/v2/pods/{}", "RUNPOD_POD_ID", "RUNPOD_API_KEY"),
    "vast": _Way(
        "https://console.vast.ai", "/api/v0/instances/{}/", "CONTAINER_ID", "CONTAINER_API_KEY"
    ),
}


def own_rental(provider: str, environ: Mapping[str, str], *, base: str = "") -> OwnRental | None:
    """None where the provider gives no such key, or gave none. `base` replaces its address."""
    way = _WAYS.get(provider)
    if way is None:
        return None
    machine, key = environ.get(way.machine, ""), environ.get(way.key, "")
    if not machine or not key:
        return None
    url = (base or way.base).rstrip("/") + way.path.format(machine)
    return OwnRental(provider, url, SecretStr(key))


def end(
    rental: OwnRental,
    *,
    wait: Callable[..., float] | None = None,
    patience: float = PATIENCE_S,
) -> bool:
    """Asks the provider for our own end, again and again for `patience` seconds; whether it was
    heard. Often nothing comes after it. `wait` replaces the seconds between two tries."""
    headers = {"Authorization": f"Bearer {rental.key.get_secret_value()}"}
    trying = Retrying(
        retry=retry_if_result(lambda heard: not heard),
        stop=stop_after_delay(patience),
        wait=wait or wait_exponential(multiplier=2, max=LONGEST_WAIT_S),
        retry_error_callback=lambda _: False,
    )
    heard: bool = trying(lambda: _asked(rental.url, headers))
    log.warning("own_rental_asked_to_end", provider=rental.provider, heard=heard)
    return heard


class GiveBack:
    """Ends our rental, if it is one, once; whoever calls meanwhile waits for that."""

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
                end(rental, wait=self._wait)


def _asked(url: str, headers: Mapping[str, str]) -> bool:
    try:
        answer = httpx.delete(url, headers=dict(headers), timeout=TIMEOUT)
    except httpx.RequestError as error:
        log.warning("provider_away", error=type(error).__name__)
        return False
    if not answer.is_success and answer.status_code not in _GONE:
        log.warning("provider_refuses", status=answer.status_code)
    return answer.is_success or answer.status_code in _GONE
