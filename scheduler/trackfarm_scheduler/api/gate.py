"""What every request passes before anything else: limits that need no key, and the headers that
every answer has. Pure ASGI, because each request pays for it."""

import itertools
import secrets
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trackfarm_scheduler.api import bodies, pacing
from trackfarm_scheduler.api.pages import DOCS
from trackfarm_scheduler.api.problems import Refused, answer

log = structlog.get_logger(__name__)
_PROCESS, _NUMBERS = secrets.token_hex(4), itertools.count()
HEAD_BYTES = 32 * 1024
QUERY_BYTES = 8 * 1024
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
KnownCheck = Callable[[Request], Awaitable[None]]


class Gate:
    """`require_known` raises Refused for a caller without a key; asked before a long body is read.
    `stream_bytes` bounds a streamed submission."""

    def __init__(self, app: ASGIApp, *, require_known: KnownCheck, stream_bytes: int) -> None:
        self._app = app
        self._require_known = require_known
        self._stream_bytes = stream_bytes

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
            admitted = await self._admitted(scope, receive)
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

    async def _admitted(self, scope: Scope, receive: Receive) -> Receive | None:
        """How the application gets the body; None when the client has gone."""
        announced, path = _checked_head(scope), scope["path"]
        if announced is None:
            return receive
        if bodies.is_stream(scope["method"], path):
            if path.startswith("/objects/"):
                return receive
            _require_fits(announced, self._stream_bytes)
            return _bounded(receive, self._stream_bytes)
        if bodies.is_upload(scope["method"], path, _content_type(scope)):
            _require_fits(announced, bodies.UPLOAD_BYTES)
            return _bounded(receive, bodies.UPLOAD_BYTES)
        most = bodies.most_bytes(path)
        _require_fits(announced, most)
        if announced > bodies.STRANGER_BYTES:
            await self._require_known(Request(scope))
        message = await receive()
        while message.get("more_body", False):
            message = await self._longer(scope, receive, message, announced, most)
        if message["type"] != "http.request":
            return None
        if (flaw := bodies.json_flaw(message["body"], bodies.most_quotes(path))) is not None:
            raise Refused(400, flaw)
        return _again(message, receive)

    async def _longer(
        self, scope: Scope, receive: Receive, so_far: Message, announced: int, most: int
    ) -> Message:
        """What has come of a body with its next part, so that it is looked at as a whole."""
        message = await receive()
        if message["type"] != "http.request":
            return message
        body = so_far["body"] + message["body"]
        if len(so_far["body"]) <= bodies.STRANGER_BYTES < len(body) and not announced:
            await self._require_known(Request(scope))
        _require_fits(len(body), most)
        return {**message, "body": body}


def _checked_head(scope: Scope) -> int | None:
    """How long a body was announced, 0 when it comes in chunks, None when there is none."""
    size, announced = 0, None
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"content-length":
            announced = int(value)
        elif name == b"transfer-encoding":
            announced = announced or 0
    if size > HEAD_BYTES:
        raise Refused(431, f"the headers are longer than {HEAD_BYTES} bytes")
    query, path = scope["query_string"], scope["path"]
    if len(query) > QUERY_BYTES or len(path) > QUERY_BYTES:
        raise Refused(414, f"the address is longer than {QUERY_BYTES} bytes")
    if "\0" in path or b"%00" in query:
        raise Refused(400, "the address has the character NUL")
    return announced


def _content_type(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"content-type"), b"")


def _require_fits(size: int, most: int) -> None:
    if size > most:
        raise Refused(413, f"a body for this address may have {most} bytes")


def _bounded(receive: Receive, most: int) -> Receive:
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        _require_fits(size, most)
        return message

    return counted


def _again(message: Message, receive: Receive) -> Receive:
    """Gives the body that was read, then whatever the connection has to say."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return message

    return once


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
    return _ALWAYS if path == DOCS else _ALWAYS_AT_THE_API
