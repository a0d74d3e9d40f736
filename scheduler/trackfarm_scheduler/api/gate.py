"""What every request passes before anything else: limits that need no key, and the headers that
every answer has. Pure ASGI, because each request pays for it."""

import secrets
from collections.abc import Awaitable, Callable

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trackfarm_scheduler.api import bodies, pacing
from trackfarm_scheduler.api.pages import DOCS
from trackfarm_scheduler.api.problems import Refused, answer

log = structlog.get_logger(__name__)
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
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = f"req_{secrets.token_hex(8)}"
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = _headers(scope, message.get("headers", []), request_id)
            await send(message)

        try:
            await self._pass(scope, receive, send_with_headers)
        except Exception:
            log.exception("request_failed", path=scope["path"], request_id=request_id)
            if begun:
                raise
            failed = answer(500, f"that should not have happened; the log has it as {request_id}")
            await failed(scope, receive, send_with_headers)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            _check_head(scope)
            admitted = await self._admitted(scope, receive)
        except Refused as refusal:
            headers = {**(refusal.headers or {}), **_HANG_UP}
            refused = answer(refusal.status, refusal.detail, headers=headers)
            await refused(scope, receive, send)
            return
        if admitted is not None:
            await self._app(scope, admitted, send)

    async def _admitted(self, scope: Scope, receive: Receive) -> Receive | None:
        """How the application gets the body; None when the client has gone."""
        headers = Headers(scope=scope)
        length, chunked = headers.get("content-length"), "transfer-encoding" in headers
        if length is None and not chunked:
            return receive
        path = scope["path"]
        announced = int(length) if length is not None else 0
        if bodies.is_stream(scope["method"], path):
            if path.startswith("/objects/"):
                return receive
            _require_fits(announced, self._stream_bytes)
            return _bounded(receive, self._stream_bytes)
        most = bodies.most_bytes(path)
        _require_fits(announced, most)
        return await self._whole(scope, receive, announced, most)

    async def _whole(
        self, scope: Scope, receive: Receive, announced: int, most: int
    ) -> Receive | None:
        """Reads the body, so that it can be looked at before it is parsed."""
        known = False
        if announced > bodies.STRANGER_BYTES:
            await self._require_known(Request(scope))
            known = True
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return None
            part, more = message.get("body", b""), message.get("more_body", False)
            body = body + part if body else part
            if len(body) > bodies.STRANGER_BYTES and not known:
                await self._require_known(Request(scope))
                known = True
            _require_fits(len(body), most)
        if (flaw := bodies.json_flaw(body)) is not None:
            raise Refused(400, flaw)
        return _again(body, receive)


def _check_head(scope: Scope) -> None:
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES:
        raise Refused(431, f"the headers are longer than {HEAD_BYTES} bytes")
    query = scope["query_string"]
    if len(query) > QUERY_BYTES or len(scope["path"]) > QUERY_BYTES:
        raise Refused(414, f"the address is longer than {QUERY_BYTES} bytes")
    if "\0" in scope["path"] or b"%00" in query:
        raise Refused(400, "the address has the character NUL")


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


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read, then whatever the connection has to say."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


def _headers(
    scope: Scope, given: list[tuple[bytes, bytes]], request_id: str
) -> list[tuple[bytes, bytes]]:
    headers = [*given, (b"x-request-id", request_id.encode()), *_policy(scope["path"], given)]
    if scope["scheme"] == "https":
        headers.append(_HSTS)
    if (standing := scope["state"].get("standing")) is not None:
        headers += pacing.limit_headers(standing)
    return headers


def _policy(path: str, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    if path.startswith("/objects/"):
        return [*(field for field in _ALWAYS if field not in given), *_OBJECTS]
    return _ALWAYS if path == DOCS else _ALWAYS_AT_THE_API
