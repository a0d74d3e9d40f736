"""Sends one message: what it looks like on the wire, and what comes back, as a value."""

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

TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # of each wait for the network
DEADLINE = 30.0  # seconds, of a whole send
DOWNLOAD = timedelta(hours=1)
MOST_ERROR = 300
_SAID = "the receiver answered {status}"


def rules_of(settings: SchedulerSettings) -> Rules:
    """Which addresses webhooks may have; with networks of the farm's own, at any port."""
    networks = tuple(map(str, settings.webhook_networks))
    return Rules(ports=() if networks else settings.webhook_ports, networks=networks)


def derived_secret(signing_secret: bytes, webhook_id: str) -> str:
    """A webhook's secret, which is stored nowhere: whoever reads the database signs nothing."""
    return secret_of(hmac.digest(signing_secret, b"webhook " + webhook_id.encode(), hashlib.sha256))


def address_fault(url: str, rules: Rules, *, insecure: bool) -> str | None:
    """Why nothing may be sent to a URL, by its form and by what its name resolves to now."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        return f"it is no URL: {error}"
    if parsed.scheme not in rules.schemes:
        return f"a webhook's address begins with https://, and {url[:60]!r} does not"
    if flaw := url_flaw(parsed, rules):
        return flaw
    if parsed.scheme == "http" and not insecure and not is_loopback(parsed.host):
        return "it would be sent in clear text; take https://"
    try:
        found = resolve(parsed.host, parsed.port or 443)
    except (OSError, UnicodeError):
        return f"the name {parsed.host} is not known"
    return next(filter(None, (address_flaw(one, rules.networks) for one in found)), None)


class Sender:
    """Thread-safe. `clock` gives the seconds since 1970 that a message is signed with; `deadline`:
    seconds after which a send is cut."""

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
        """Cuts what is on its way."""
        self._watch.close()
        self._http.close()

    def send(self, url: str, secret: str, message: Message) -> Answer:
        """One try. Redirects are not followed, and no body is read."""
        body, timestamp = self._body(message), int(self._clock())
        headers = {
            ID: message.message_id,
            TIMESTAMP: str(timestamp),
            SIGNATURE: signature(secret, message.message_id, timestamp, body),
        }
        with self._watch.line() as line:
            return self._posted(url, body, headers, line)

    def _posted(self, url: str, body: bytes, headers: Mapping[str, str], line: Line) -> Answer:
        told = {"trace": line.trace}
        try:
            with self._http.stream(
                "POST", url, content=body, headers=headers, extensions=told
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
    asked = response.headers.get("retry-after", "")
    error = "" if response.is_success else _SAID.format(status=response.status_code)
    return Answer(response.status_code, error, float(asked) if asked.isdecimal() else None)
