"""Connection settings: address, key, trusted authorities, timeout and retry policy."""

import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
from tenacity import RetryCallState, retry_if_exception, stop_before_delay, wait_exponential
from tenacity.wait import wait_base, wait_random

from trackfarm.client.errors import (
    DownloadFailed,
    FarmBusy,
    FarmError,
    FarmUnreachable,
    RequestRefused,
    RetryableResponse,
    ServerError,
    UnsafeAddress,
)
from trackfarm.client.sansio import Request, RetryRule
from trackfarm.net.safe_urls import http_url_problem
from trackfarm.net.tls import tls_verify

_BACKOFF = wait_exponential(multiplier=0.1, max=2.0) + wait_random(0, 0.1)


@dataclass(frozen=True, slots=True)
class Connection:
    """Connection settings of one farm.

    `retry_seconds` bounds the retries of a call, `timeout` (seconds) each wait for the network.
    """

    url: str
    api_key: str = field(repr=False)
    retry_seconds: float = 10.0
    timeout: float = 30.0
    verify: ssl.SSLContext | bool = True

    def farm_options(self) -> dict[str, Any]:
        """Return the arguments of an httpx client for the farm's own API."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return {**self.store_options(), "base_url": self.url, "headers": headers}

    def store_options(self) -> dict[str, Any]:
        """Return the arguments of an httpx client for signed URLs, which must not send the key."""
        timeout = httpx.Timeout(self.timeout, connect=min(self.timeout, 5.0))
        return {"timeout": timeout, "verify": self.verify}

    def retry_options(self, retry_if: RetryRule) -> dict[str, Any]:
        """Return tenacity's arguments: the failures to retry, the waits, and the time limit."""
        return {
            "retry": retry_if_exception(
                lambda error: isinstance(error, FarmBusy) or retry_if(error)
            ),
            "stop": stop_before_delay(self.retry_seconds),
            "wait": _RetryAfterOrBackoff(),
            "reraise": True,
        }

    def final_error(self, error: httpx.TransportError | RetryableResponse) -> FarmError:
        """Return the error to raise for a failure that retries did not solve."""
        match error:
            case ServerError() if error.problem.status != 500:
                return FarmUnreachable(self.url, f"it answers {error.problem.status}")
            case RetryableResponse():
                return RequestRefused(error.problem)
            case _:
                return FarmUnreachable(self.url, str(error) or type(error).__name__)


def download_failed(
    error: httpx.TransportError | RetryableResponse | RequestRefused,
) -> DownloadFailed:
    """Return the error to raise for a file that the object store did not deliver."""
    if isinstance(error, httpx.TransportError):
        return DownloadFailed(str(error) or type(error).__name__)
    return DownloadFailed(f"the object store answered {error.problem.status}")


class _RetryAfterOrBackoff(wait_base):
    """Wait for the seconds of Retry-After, else longer each time."""

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        seconds = error.seconds if isinstance(error, RetryableResponse) else None
        return _BACKOFF(retry_state) if seconds is None else seconds


def connect(
    url: str,
    api_key: str,
    *,
    retry_seconds: float,
    timeout: float,
    ca_file: Path | None,
    insecure: bool,
) -> Connection:
    """Return the checked connection settings.

    Raises UnsafeAddress where the key would cross a network in clear text, and ClientSettingsError
    for an invalid `ca_file`.
    """
    fault = http_url_problem(url, setting="TRACKFARM_URL", insecure="TRACKFARM_INSECURE")
    if fault and not insecure:
        raise UnsafeAddress(fault)
    verify = tls_verify(ca_file, setting="TRACKFARM_CA_FILE")
    return Connection(url.rstrip("/"), api_key, retry_seconds, timeout, verify)


def request_options(request: Request) -> dict[str, Any]:
    """Return httpx's keyword arguments for a request, without its body."""
    options: dict[str, Any] = {"headers": request.headers, "params": request.params}
    return options if request.timeout is None else options | {"timeout": request.timeout}


class HashingFile:
    """A new file at `path`, hashed while it is written. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._file.write(chunk)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
