"""Download of a URL into a file, within limits of size, time and redirects.

Only the source process does this. Redirects are followed by hand, because httpx reads a redirect's
body to its end, and compression is not decoded, because a small body may expand into an endless
one.
"""

import hashlib
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx

from trackfarm.net.ssrf import EgressPolicy, GuardedTransport
from trackfarm_worker.sources.protocol import SourceLimits, SourceRefused, SourceUnavailable

PAUSE_SECONDS = (0.2, 1.0)  # seconds before the second and the third try
CHUNK_BYTES = 1 << 18
RETRYABLE_STATUSES = frozenset({408, 421, 425, 429})
EXPIRED_STATUSES = frozenset({401, 403})
PUBLIC_ONLY = EgressPolicy()
_NO_COMPRESSION = {"Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Fetched:
    size: int
    sha256: str


_FetchResult = Fetched | SourceRefused | SourceUnavailable


def fetch(
    url: str,
    target: Path,
    limits: SourceLimits,
    *,
    is_signed: bool = False,
    policy: EgressPolicy = PUBLIC_ONLY,
    ca_file: str = "",
) -> _FetchResult:
    """Download the body of `url` into the file `target`. The policy does not apply to the farm's own
    object store (`is_signed`), since it may be in a private network.

    SourceRefused: a URL that is not http(s) or violates the policy, a client error (404 and the
    like), too many redirects, too many bytes, a web page, an empty body. SourceUnavailable: no
    connection, a server error, an interrupted body, too slow, an expired signed URL. Raises OSError
    when the file cannot be written. Call it in the main thread.
    """
    guard = None if is_signed else GuardedTransport(policy)
    timeout = httpx.Timeout(limits.silent_seconds, connect=limits.connect_seconds)
    try:
        with (
            time_limit(limits.fetch_seconds),
            httpx.Client(timeout=timeout, transport=guard, verify=_verification(ca_file)) as client,
        ):
            return _with_retries(lambda: _fetch_once(client, url, target, limits, is_signed))
    except TimeLimitExceeded:
        return SourceUnavailable(f"the download took longer than {limits.fetch_seconds:g} s")


class TimeLimitExceeded(Exception):
    """The time limit has passed."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Overdue in the block when it takes longer. Main thread only; does not nest."""

    def ring(_signal: int, _frame: object) -> None:
        raise TimeLimitExceeded

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _verification(ca_file: str) -> ssl.SSLContext:
    # Not `trackfarm.net.tls`: that imports pydantic, which is slow to load.
    context = httpx.create_ssl_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def _with_retries(attempt: Callable[[], _FetchResult]) -> _FetchResult:
    for pause in PAUSE_SECONDS:
        outcome = attempt()
        if not isinstance(outcome, SourceUnavailable):
            return outcome
        time.sleep(pause)
    return attempt()


def _fetch_once(
    client: httpx.Client, url: str, target: Path, limits: SourceLimits, is_signed: bool
) -> _FetchResult:
    try:
        request = client.build_request("GET", url, headers=_NO_COMPRESSION)
        for _ in range(limits.max_redirects + 1):
            with _open_response(client, request) as response:
                if response.next_request is None:
                    return _header_failure(response, limits, is_signed) or _store(
                        response, target, limits
                    )
                request = response.next_request
        return SourceRefused(f"its URL redirects more than {limits.max_redirects} times")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        return SourceRefused(f"its URL is invalid: {error}")
    except httpx.TransportError as error:
        return SourceUnavailable(f"it could not be fetched: {error or type(error).__name__}")


class _open_response:
    """Context of a streamed response, which closes it without reading the rest of its body."""

    def __init__(self, client: httpx.Client, request: httpx.Request) -> None:
        self._client = client
        self._request = request

    def __enter__(self) -> httpx.Response:
        self._response = self._client.send(self._request, stream=True)
        return self._response

    def __exit__(self, *_: object) -> None:
        self._response.close()


def _header_failure(
    response: httpx.Response, limits: SourceLimits, is_signed: bool
) -> SourceRefused | SourceUnavailable | None:
    """Return the failure that the headers alone show, or None."""
    status = response.status_code
    if is_signed and status in EXPIRED_STATUSES:
        return SourceUnavailable("the signed URL from the scheduler has expired")
    if status in RETRYABLE_STATUSES or response.is_server_error:
        return SourceUnavailable(f"its server returned HTTP {status}")
    if not response.is_success or status == HTTPStatus.NO_CONTENT:
        return SourceRefused(f"its server returned HTTP {status} {response.reason_phrase}".rstrip())
    if response.headers.get("content-type", "").partition(";")[0].strip() == "text/html":
        return SourceRefused("its URL is a web page, not an audio file")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.max_bytes:
        return _too_big(int(length), limits)
    return None


def _store(response: httpx.Response, target: Path, limits: SourceLimits) -> Fetched | SourceRefused:
    size, sha256 = 0, hashlib.sha256()
    with target.open("wb") as file:
        for chunk in response.iter_raw(CHUNK_BYTES):
            size += len(chunk)
            if size > limits.max_bytes:
                return _too_big(None, limits)
            file.write(chunk)
            sha256.update(chunk)
    return Fetched(size, sha256.hexdigest()) if size else SourceRefused("it is empty")


def _too_big(size: int | None, limits: SourceLimits) -> SourceRefused:
    amount = "too large" if size is None else f"{size / 1e6:,.0f} MB large"
    return SourceRefused(f"it is {amount}; the maximum is {limits.max_bytes / 1e6:,.0f} MB")
