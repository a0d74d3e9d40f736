"""What every request passes before anything else: limits that need no key, and the headers that
every answer has. Pure ASGI, because each request pays for it."""

import itertools
import secrets

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trackfarm_scheduler.api import pacing
from trackfarm_scheduler.api.pages import OWN_POLICY
from trackfarm_scheduler.api.problems import Refused, answer
from trackfarm_scheduler.api.reading import Reader

log = structlog.get_logger(__name__)
_PROCESS, _NUMBERS = secrets.token_hex(4), itertools.count()
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # an address may be a signed one
    (b"x-frame-options", b"DENY"),
]
_ALWAYS_AT_THE_API = [
    *_ALWAYS,
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
# What is stored is a stranger's: no browser may run it or take it for one of our pages.
_OBJECTS = [(b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'")]
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_HANG_UP = {"Connection": "close"}  # whatever else comes of the body is not read


class Gate:
    """Gives each request its id and each answer its headers; what cannot be read is refused here."""

    def __init__(self, app: ASGIApp, *, reader: Reader) -> None:
        self._app = app
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{_PROCESS}{next(_NUMBERS):x}"
        scope.setdefault("state", {})["request_id"] = request_id
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = _headers(scope, message.get("headers", []), request_id)
            await send(message)

        try:
            admitted = await self._reader.admitted(scope, receive)
            if admitted is not None:
                await self._app(scope, admitted, send_with_headers)
        except Refused as refusal:
            headers = {**(refusal.headers or {}), **_HANG_UP}
            refused = answer(refusal.status, refusal.detail, headers=headers)
            await refused(scope, receive, send_with_headers)
        except Exception:
            log.exception("request_failed", path=scope["path"], request_id=request_id)
            if begun:
                raise
            failed = answer(500, f"that should not have happened; the log has it as {request_id}")
            await failed(scope, receive, send_with_headers)


def _headers(
    scope: Scope, given: list[tuple[bytes, bytes]], request_id: str
) -> list[tuple[bytes, bytes]]:
    headers = [*given, *_policy(scope["path"], given), (b"x-request-id", request_id.encode())]
    if scope["scheme"] == "https":
        headers.append(_HSTS)
    if (standing := scope["state"].get("standing")) is not None:
        headers += pacing.limit_headers(standing)
    return headers


def _policy(path: str, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    if path.startswith("/objects/"):
        return [*(field for field in _ALWAYS if field not in given), *_OBJECTS]
    return _ALWAYS if path in OWN_POLICY else _ALWAYS_AT_THE_API
