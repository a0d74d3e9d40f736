"""HTTP client for webhooks: encodes and sends one message, and returns the response as a value."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import httpx

from trackfarm import __version__
from trackfarm.addresses import is_loopback
from trackfarm.outgoing import Forbidden, GuardedTransport, Rules, address_flaw, resolve, url_flaw
from trackfarm.webhooks import ID, SIGNATURE, TIMESTAMP, HookEvent, secret_of, signature
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.store.outbox import Message
from trackfarm_scheduler.webhooks.retrying import Answer
from trackfarm_scheduler.webhooks.watching import Line, Watch

TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # seconds per network operation
DEADLINE = 30.0  # seconds for a whole send
DOWNLOAD = timedelta(hours=1)
MOST_ERROR = 300
_STATUS_ERROR = "the receiver answered {status}"


def rules_of(settings: SchedulerSettings) -> Rules:
    """Return the egress policy of webhooks; the farm's own networks are allowed at any port."""
    networks = tuple(map(str, settings.webhook_networks))
    return Rules(ports=() if networks else settings.webhook_ports, networks=networks)


def derived_secret(signing_secret: bytes, webhook_id: str) -> str:
    """Derive a webhook's secret. It is stored nowhere, so that a reader of the database cannot sign
    messages."""
    return secret_of(hmac.digest(signing_secret, b"webhook " + webhook_id.encode(), hashlib.sha256))


def address_fault(url: str, rules: Rules, *, insecure: bool) -> str | None:
    """Return why sending to a URL is not allowed, judged by its form and by the current resolution
    of its name."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        return f"invalid URL: {error}"
    if parsed.scheme not in rules.schemes:
        return f"a webhook URL must begin with https://, got {url[:60]!r}"
    if flaw := url_flaw(parsed, rules):
        return flaw
    if parsed.scheme == "http" and not insecure and not is_loopback(parsed.host):
        return "http:// would send in clear text; use https://"
    try:
        addresses = resolve(parsed.host, parsed.port or 443)
    except (OSError, UnicodeError):
        return f"the host name {parsed.host} cannot be resolved"
    return next(
        filter(None, (address_flaw(address, rules.networks) for address in addresses)), None
    )


class Sender:
    """HTTP sender of webhook messages. Thread-safe. `clock` gives the seconds since 1970 for
    signatures; `deadline`: seconds after which a send is aborted."""

    def __init__(
        self,
        objects: ObjectStore,
        rules: Rules,
        clock: Callable[[], float],
        inner: httpx.BaseTransport | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._watch = Watch(deadline)
        self._http = httpx.Client(
            transport=GuardedTransport(rules, inner=inner),
            timeout=TIMEOUT,
            headers={"User-Agent": f"trackfarm/{__version__}", "Content-Type": "application/json"},
        )

    def close(self) -> None:
        """Abort sends in progress."""
        self._watch.close()
        self._http.close()

    def send(self, url: str, secret: str, message: Message) -> Answer:
        """Try once. Redirects are not followed, and the response body is not read."""
        body, timestamp = self._body(message), int(self._clock())
        headers = {
            ID: message.message_id,
            TIMESTAMP: str(timestamp),
            SIGNATURE: signature(secret, message.message_id, timestamp, body),
        }
        with self._watch.line() as line:
            return self._posted(url, body, headers, line)

    def _posted(self, url: str, body: bytes, headers: Mapping[str, str], line: Line) -> Answer:
        extensions = {"trace": line.trace}
        try:
            with self._http.stream(
                "POST", url, content=body, headers=headers, extensions=extensions
            ) as response:
                return _answer(response)
        except Forbidden as error:
            return Answer(None, f"not allowed: {error}"[:MOST_ERROR])
        except httpx.HTTPError as error:
            return Answer(None, (line.why_cut or str(error) or type(error).__name__)[:MOST_ERROR])

    def _body(self, message: Message) -> bytes:
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
