"""Streams a URL into a file, within limits of size, time and redirects.

Only the source process does this. Redirects are followed by hand, because httpx reads a
redirect's body to its end, and compression is not undone, because a small body may unfold into
an endless one.
"""

import hashlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx

from trackfarm.outgoing import GuardedTransport, Rules
from trackfarm_worker.sources.alarm import Overdue, alarm
from trackfarm_worker.sources.answers import Limits, SourceAway, SourceRefused

PAUSES = (0.2, 1.0)  # seconds before the second and the third try
CHUNK_BYTES = 1 << 18
WORTH_WAITING = frozenset({408, 421, 425, 429})
EXPIRED = frozenset({401, 403})
PUBLIC_ONLY = Rules()
_NO_COMPRESSION = {"Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Fetched:
    size: int
    sha256: str


_Ending = Fetched | SourceRefused | SourceAway


def fetch(
    url: str,
    target: Path,
    limits: Limits,
    *,
    is_signed: bool = False,
    rules: Rules = PUBLIC_ONLY,
    ca_file: str = "",
) -> _Ending:
    """The body of `url` in the file `target`. Only the farm's own store (`is_signed`) is asked
    whatever the rules say, since it may stand in a private network.

    Refused: a URL that is none of http(s) or against the rules, a client error (404 and the like),
    too many redirects, too many bytes, a web page, an empty body. Away: no connection, a server
    error, a body that breaks off, too slow, a signed URL that has expired. Raises OSError when the
    file cannot be written. To be called in the main thread.
    """
    guard = None if is_signed else GuardedTransport(rules)
    timeout = httpx.Timeout(limits.silent_seconds, connect=limits.connect_seconds)
    try:
        with (
            alarm(limits.fetch_seconds),
            httpx.Client(timeout=timeout, transport=guard, verify=_verification(ca_file)) as client,
        ):
            return _patiently(lambda: _fetched(client, url, target, limits, is_signed))
    except Overdue:
        return SourceAway(f"it did not come within {limits.fetch_seconds:g} s")


def _verification(ca_file: str) -> ssl.SSLContext:
    # Not `trackfarm.trust`: this process imports no pydantic.
    context = httpx.create_ssl_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def _patiently(once: Callable[[], _Ending]) -> _Ending:
    for pause in PAUSES:
        ending = once()
        if not isinstance(ending, SourceAway):
            return ending
        time.sleep(pause)
    return once()


def _fetched(
    client: httpx.Client, url: str, target: Path, limits: Limits, is_signed: bool
) -> _Ending:
    try:
        request = client.build_request("GET", url, headers=_NO_COMPRESSION)
        for _ in range(limits.redirects + 1):
            with _opened(client, request) as response:
                if response.next_request is None:
                    return _flaw(response, limits, is_signed) or _stored(response, target, limits)
                request = response.next_request
        return SourceRefused(f"it was redirected more than {limits.redirects} times")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        return SourceRefused(f"its URL cannot be used: {error}")
    except httpx.TransportError as error:
        return SourceAway(f"it could not be fetched: {error or type(error).__name__}")


class _opened:
    """Closes the response without reading what is left of it."""

    def __init__(self, client: httpx.Client, request: httpx.Request) -> None:
        self._client = client
        self._request = request

    def __enter__(self) -> httpx.Response:
        self._response = self._client.send(self._request, stream=True)
        return self._response

    def __exit__(self, *_: object) -> None:
        self._response.close()


def _flaw(
    response: httpx.Response, limits: Limits, is_signed: bool
) -> SourceRefused | SourceAway | None:
    """What the headers alone forbid."""
    status = response.status_code
    if is_signed and status in EXPIRED:
        return SourceAway("the URL that the scheduler gave has expired")
    if status in WORTH_WAITING or response.is_server_error:
        return SourceAway(f"its server answers HTTP {status}")
    if not response.is_success or status == HTTPStatus.NO_CONTENT:
        return SourceRefused(f"its server answers HTTP {status} {response.reason_phrase}".rstrip())
    if response.headers.get("content-type", "").partition(";")[0].strip() == "text/html":
        return SourceRefused("its URL gives a web page, not audio")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.size:
        return _too_big(int(length), limits)
    return None


def _stored(response: httpx.Response, target: Path, limits: Limits) -> Fetched | SourceRefused:
    size, sha256 = 0, hashlib.sha256()
    with target.open("wb") as file:
        for chunk in response.iter_raw(CHUNK_BYTES):
            size += len(chunk)
            if size > limits.size:
                return _too_big(None, limits)
            file.write(chunk)
            sha256.update(chunk)
    return Fetched(size, sha256.hexdigest()) if size else SourceRefused("it is empty")


def _too_big(size: int | None, limits: Limits) -> SourceRefused:
    has = "more" if size is None else f"{size / 1e6:,.0f} MB"
    return SourceRefused(f"it has {has}, and at most {limits.size / 1e6:,.0f} MB are taken")
