"""HTTP client for webhooks: signs and sends one message, and returns the response as a value."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx

from trackfarm import __version__
from trackfarm.net.safe_urls import is_loopback
from trackfarm.net.ssrf import (
    AsyncGuardedTransport,
    EgressDenied,
    EgressPolicy,
    address_problem,
    resolve,
    url_problem,
)
from trackfarm.protocol.webhooks import ID, SIGNATURE, TIMESTAMP, HookEvent, secret_of, signature
from trackfarm_scheduler.db.webhook_outbox import WebhookMessage
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.webhooks.retry import ReceiverResponse

TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # seconds per network operation
# Seconds for a whole send: no network operation times out for a receiver that sends one byte at a
# time.
DEADLINE_SECONDS = 30.0
DOWNLOAD = timedelta(hours=1)
MAX_ERROR_LENGTH = 300
STOPPED = "the scheduler was stopped"


def egress_policy(settings: SchedulerSettings) -> EgressPolicy:
    """Return the egress policy of webhooks; the farm's own networks are allowed at any port."""
    networks = tuple(map(str, settings.webhook_networks))
    return EgressPolicy(ports=() if networks else settings.webhook_ports, networks=networks)


def derive_secret(signing_secret: bytes, webhook_id: str) -> str:
    """Derive a webhook's secret. It is stored nowhere, so that a reader of the database cannot sign
    messages."""
    return secret_of(hmac.digest(signing_secret, b"webhook " + webhook_id.encode(), hashlib.sha256))


def address_fault(url: str, policy: EgressPolicy, *, insecure: bool) -> str | None:
    """Return why sending to a URL is not allowed, judged by its form and by the current resolution
    of its name."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        return f"invalid URL: {error}"
    if parsed.scheme not in policy.schemes:
        return f"a webhook URL must begin with https://, got {url[:60]!r}"
    if flaw := url_problem(parsed, policy):
        return flaw
    if parsed.scheme == "http" and not insecure and not is_loopback(parsed.host):
        return "http:// would send in clear text; use https://"
    try:
        addresses = resolve(parsed.host, parsed.port or 443)
    except (OSError, UnicodeError):
        return f"the host name {parsed.host} cannot be resolved"
    return next(
        filter(None, (address_problem(address, policy.networks) for address in addresses)), None
    )


class WebhookSender:
    """HTTP sender of webhook messages. `clock` gives the seconds since 1970 for signatures;
    `deadline_seconds` is the time for a whole send, name resolution included.

    Used from one event loop.
    """

    def __init__(
        self,
        objects: ObjectStore,
        policy: EgressPolicy,
        clock: Callable[[], float],
        inner: httpx.AsyncBaseTransport | None = None,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._deadlines: set[asyncio.Timeout] = set()
        self._is_closed = False
        self._http = httpx.AsyncClient(
            transport=AsyncGuardedTransport(policy, inner=inner),
            timeout=TIMEOUT,
            headers={"User-Agent": f"trackfarm/{__version__}", "Content-Type": "application/json"},
        )

    async def close(self) -> None:
        """Abort sends in progress, and all later ones."""
        self._is_closed = True
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())
        await self._http.aclose()

    async def send(self, url: str, secret: str, message: WebhookMessage) -> ReceiverResponse:
        """Try once. Redirects are not followed, and the response body is not read."""
        body, timestamp = self._body(message), int(self._clock())
        headers = {
            ID: message.message_id,
            TIMESTAMP: str(timestamp),
            SIGNATURE: signature(secret, message.message_id, timestamp, body),
        }
        if self._is_closed:
            return ReceiverResponse(None, STOPPED)
        try:
            async with asyncio.timeout(self._deadline_seconds) as deadline:
                self._deadlines.add(deadline)
                try:
                    return await self._post(url, body, headers)
                finally:
                    self._deadlines.discard(deadline)
        except TimeoutError:
            late = f"no answer within {self._deadline_seconds:g} s"
            return ReceiverResponse(None, STOPPED if self._is_closed else late)

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> ReceiverResponse:
        connections = _Connections()
        extensions = {"trace": connections.trace}
        try:
            async with self._http.stream(
                "POST", url, content=body, headers=headers, extensions=extensions
            ) as response:
                return _response(response)
        except EgressDenied as error:
            return ReceiverResponse(None, f"not allowed: {error}"[:MAX_ERROR_LENGTH])
        except httpx.HTTPError as error:
            return ReceiverResponse(None, (str(error) or type(error).__name__)[:MAX_ERROR_LENGTH])
        finally:
            await connections.close()

    def _body(self, message: WebhookMessage) -> bytes:
        data = dict(message.data)
        if message.event is HookEvent.TRACK_DONE and (key := data.get("object")):
            data["url"] = self._objects.presign_get(str(key), expires=DOWNLOAD).url
        at = datetime.fromtimestamp(message.created_at, UTC).isoformat().replace("+00:00", "Z")
        envelope = {"type": message.event.value, "timestamp": at, "data": data}
        return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


class _Stream(Protocol):
    async def aclose(self) -> None: ...


class _Connections:
    """Connections of one send. The client itself leaves one open that is cancelled within its TLS
    handshake (httpcore 1.0)."""

    def __init__(self) -> None:
        self._streams: list[_Stream] = []

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Handle trace events of httpcore."""
        if event == "connection.connect_tcp.complete":
            self._streams.append(info["return_value"])

    async def close(self) -> None:
        for stream in self._streams:
            await stream.aclose()


def _response(response: httpx.Response) -> ReceiverResponse:
    retry_after = response.headers.get("retry-after", "")
    error = "" if response.is_success else f"the receiver answered {response.status_code}"
    return ReceiverResponse(
        response.status_code, error, float(retry_after) if retry_after.isdecimal() else None
    )
