"""HTTP client for webhooks: encodes and sends one message, and returns the response as a value.

Deadline for sends: an HTTP timeout bounds each network operation, but never triggers for a
receiver that sends one byte at a time.
"""

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from trackfarm import __version__
from trackfarm.net.safe_urls import is_loopback
from trackfarm.net.ssrf import (
    EgressDenied,
    EgressPolicy,
    GuardedTransport,
    address_problem,
    resolve,
    url_problem,
)
from trackfarm.protocol.webhooks import ID, SIGNATURE, TIMESTAMP, HookEvent, secret_of, signature
from trackfarm_scheduler.db.webhook_outbox import WebhookMessage
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.webhooks.retry import Answer

_BEGINS, _MADE = "connection.connect_tcp.started", "connection.connect_tcp.complete"


class Cut(httpx.TransportError):
    """The send was aborted before it was connected."""


class WatchedConnection:
    """Connection of one send. `cut` may be called from any thread, at any time."""

    def __init__(self) -> None:
        self.why_cut = ""
        self._socket: socket.socket | None = None
        self._guard = threading.Lock()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Handle trace events of httpcore. Raises Cut instead of connecting again after an
        abort."""
        if event == _BEGINS and self.why_cut:
            raise Cut(self.why_cut)
        if event == _MADE:
            self._hold(info["return_value"].get_extra_info("socket"))

    def cut(self, why: str) -> None:
        """Abort the send and wake its thread; only the first `why` is kept."""
        with self._guard:
            self.why_cut = self.why_cut or why
            self._shut()

    def forget(self) -> None:
        with self._guard:
            if self._socket is not None:
                self._socket.close()
            self._socket = None

    def _hold(self, connection: socket.socket) -> None:
        """Keep a duplicate of the socket, since TLS takes over the original before its
        handshake."""
        self.forget()
        with self._guard:
            self._socket = connection.dup()
            if self.why_cut:
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the receiver has closed it already
                self._socket.shutdown(socket.SHUT_RDWR)


class SendDeadline:
    """Deadline for all sends of a process: none takes longer than `seconds` from the start of name
    resolution, plus the time the system takes to resolve. Thread-safe."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lines: set[WatchedConnection] = set()
        self._closed = ""
        self._guard = threading.Lock()

    @contextmanager
    def line(self) -> Iterator[WatchedConnection]:
        line = WatchedConnection()
        with self._guard:
            self._lines.add(line)
            if self._closed:
                line.cut(self._closed)
        timer = threading.Timer(self._seconds, line.cut, [f"no answer within {self._seconds:g} s"])
        timer.daemon = True
        timer.start()
        try:
            yield line
        finally:
            timer.cancel()
            with self._guard:
                self._lines.discard(line)
            line.forget()

    def close(self) -> None:
        """Abort all sends in progress, and all later ones."""
        with self._guard:
            self._closed = "the scheduler was stopped"
            for line in self._lines:
                line.cut(self._closed)


TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # seconds per network operation
DEADLINE = 30.0  # seconds for a whole send
DOWNLOAD = timedelta(hours=1)
MOST_ERROR = 300
_STATUS_ERROR = "the receiver answered {status}"


def rules_of(settings: SchedulerSettings) -> EgressPolicy:
    """Return the egress policy of webhooks; the farm's own networks are allowed at any port."""
    networks = tuple(map(str, settings.webhook_networks))
    return EgressPolicy(ports=() if networks else settings.webhook_ports, networks=networks)


def derived_secret(signing_secret: bytes, webhook_id: str) -> str:
    """Derive a webhook's secret. It is stored nowhere, so that a reader of the database cannot sign
    messages."""
    return secret_of(hmac.digest(signing_secret, b"webhook " + webhook_id.encode(), hashlib.sha256))


def address_fault(url: str, rules: EgressPolicy, *, insecure: bool) -> str | None:
    """Return why sending to a URL is not allowed, judged by its form and by the current resolution
    of its name."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        return f"invalid URL: {error}"
    if parsed.scheme not in rules.schemes:
        return f"a webhook URL must begin with https://, got {url[:60]!r}"
    if flaw := url_problem(parsed, rules):
        return flaw
    if parsed.scheme == "http" and not insecure and not is_loopback(parsed.host):
        return "http:// would send in clear text; use https://"
    try:
        addresses = resolve(parsed.host, parsed.port or 443)
    except (OSError, UnicodeError):
        return f"the host name {parsed.host} cannot be resolved"
    return next(
        filter(None, (address_problem(address, rules.networks) for address in addresses)), None
    )


class Sender:
    """HTTP sender of webhook messages. Thread-safe. `clock` gives the seconds since 1970 for
    signatures; `deadline`: seconds after which a send is aborted."""

    def __init__(
        self,
        objects: ObjectStore,
        rules: EgressPolicy,
        clock: Callable[[], float],
        inner: httpx.BaseTransport | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._watch = SendDeadline(deadline)
        self._http = httpx.Client(
            transport=GuardedTransport(rules, inner=inner),
            timeout=TIMEOUT,
            headers={"User-Agent": f"trackfarm/{__version__}", "Content-Type": "application/json"},
        )

    def close(self) -> None:
        """Abort sends in progress."""
        self._watch.close()
        self._http.close()

    def send(self, url: str, secret: str, message: WebhookMessage) -> Answer:
        """Try once. Redirects are not followed, and the response body is not read."""
        body, timestamp = self._body(message), int(self._clock())
        headers = {
            ID: message.message_id,
            TIMESTAMP: str(timestamp),
            SIGNATURE: signature(secret, message.message_id, timestamp, body),
        }
        with self._watch.line() as line:
            return self._posted(url, body, headers, line)

    def _posted(
        self, url: str, body: bytes, headers: Mapping[str, str], line: WatchedConnection
    ) -> Answer:
        extensions = {"trace": line.trace}
        try:
            with self._http.stream(
                "POST", url, content=body, headers=headers, extensions=extensions
            ) as response:
                return _answer(response)
        except EgressDenied as error:
            return Answer(None, f"not allowed: {error}"[:MOST_ERROR])
        except httpx.HTTPError as error:
            return Answer(None, (line.why_cut or str(error) or type(error).__name__)[:MOST_ERROR])

    def _body(self, message: WebhookMessage) -> bytes:
        data = dict(message.data)
        if message.event is HookEvent.TRACK_DONE and (key := data.get("object")):
            data["url"] = self._objects.presign_get(str(key), expires=DOWNLOAD).url
        at = datetime.fromtimestamp(message.created_at, UTC).isoformat().replace("+00:00", "Z")
        envelope = {"type": message.event.value, "timestamp": at, "data": data}
        return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


def _answer(response: httpx.Response) -> Answer:
    retry_after = response.headers.get("retry-after", "")
    error = "" if response.is_success else _STATUS_ERROR.format(status=response.status_code)
    return Answer(
        response.status_code, error, float(retry_after) if retry_after.isdecimal() else None
    )
