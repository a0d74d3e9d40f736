"""Request bodies: read and checked whole, or streamed up to a size limit."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from trackfarm_scheduler.api import bodies
from trackfarm_scheduler.api.problems import Refused

HEAD_BYTES = 32 * 1024
QUERY_BYTES = 8 * 1024
KnownCheck = Callable[[Request], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reader of request bodies.

    `require_known` raises Refused for a caller without a key; it runs before a long body is read.
    `stream_bytes` limits a streamed submission.
    """

    require_known: KnownCheck
    stream_bytes: int

    async def admitted(self, scope: Scope, receive: Receive) -> Receive | None:
        """Return the `receive` for the application, None if the client disconnected. Raises Refused."""
        announced, path, method = _checked_head(scope), scope["path"], scope["method"]
        if announced is None:
            return receive
        if bodies.is_stream(method, path):
            most = None if path.startswith("/objects/") else self.stream_bytes
            return receive if most is None else _bounded(receive, announced, most)
        if bodies.is_upload(method, path, _content_type(scope)):
            return _bounded(receive, announced, bodies.UPLOAD_BYTES)
        return await self._whole(scope, receive, announced)

    async def _whole(self, scope: Scope, receive: Receive, announced: int) -> Receive | None:
        path = scope["path"]
        most = bodies.most_bytes(path)
        _require_fits(announced, most)
        if announced > bodies.STRANGER_BYTES:
            await self.require_known(Request(scope))
        message = await receive()
        while message.get("more_body", False):
            message = await self._longer(scope, receive, message, announced, most)
        if message["type"] != "http.request":
            return None
        if (flaw := bodies.json_flaw(message["body"], bodies.most_quotes(path))) is not None:
            raise Refused(400, flaw)
        return _replayed(message, receive)

    async def _longer(
        self, scope: Scope, receive: Receive, so_far: Message, announced: int, most: int
    ) -> Message:
        """Return the body so far with its next part appended."""
        message = await receive()
        if message["type"] != "http.request":
            return message
        body = so_far["body"] + message["body"]
        if len(so_far["body"]) <= bodies.STRANGER_BYTES < len(body) and not announced:
            await self.require_known(Request(scope))
        _require_fits(len(body), most)
        return {**message, "body": body}


def _checked_head(scope: Scope) -> int | None:
    """Return the announced size of the body, 0 if it is chunked, None if there is none."""
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
        raise Refused(414, f"the URL is longer than {QUERY_BYTES} bytes")
    if "\0" in path or b"%00" in query:
        raise Refused(400, "the URL contains a NUL character")
    return announced


def _content_type(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"content-type"), b"")


def _require_fits(size: int, most: int) -> None:
    if size > most:
        raise Refused(413, f"the body is too long; the limit here is {most} bytes")


def _bounded(receive: Receive, announced: int, most: int) -> Receive:
    _require_fits(announced, most)
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        _require_fits(size, most)
        return message

    return counted


def _replayed(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that yields the body already read, then the connection's messages."""
    is_sent = False

    async def once() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return message

    return once
