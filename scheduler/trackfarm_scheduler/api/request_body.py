"""Request bodies: read and checked whole, or streamed, with limits by path on their bytes and on the
depth and size of JSON.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import accumulate

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from trackfarm.protocol import operator as operator_api
from trackfarm.protocol import worker
from trackfarm.protocol.limits import SOURCE_BYTES
from trackfarm_scheduler.api.errors import ApiError

MIB = 2**20
UNAUTHENTICATED_BYTES = 64 * 1024  # read without authentication; longer bodies need a key
ORDINARY_BYTES = MIB
REPORT_BYTES = 16 * MIB  # a thousand tracks with the longest messages are 6 MB
PLAN_BYTES = 32 * MIB  # 250,000 shapes are 15 MB
UPLOAD_BYTES = 2 * SOURCE_BYTES + MIB  # a source, a reference and the fields beside them
# An unknown field costs fifty times as much to reject as a known one costs to parse.
MAX_QUOTES = 200_000  # a thousand tracks done and as many failed have 90,000
PLAN_QUOTES = 4_000_000
MAX_DEPTH = 32
_BRACKETS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_NUL = b"\\u0000"
HEAD_BYTES = 32 * 1024
QUERY_BYTES = 8 * 1024
CredentialsCheck = Callable[[Request], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BodyLimiter:
    """Reader of request bodies. A body that needs no streaming is read whole, and refused unparsed if
    it is too long, too deep or has too many names.

    `require_credentials` raises ApiError for a caller without a key; it runs before a long body is read.
    `stream_bytes` limits a streamed submission. The routes at `upload_paths` read multipart forms
    with files as a stream.
    """

    require_credentials: CredentialsCheck
    stream_bytes: int
    upload_paths: Collection[str] = ()

    async def admit(self, scope: Scope, receive: Receive) -> Receive | None:
        """Return the `receive` for the application, None if the client disconnected. Raises ApiError."""
        announced_bytes, path, method = _checked_head(scope), scope["path"], scope["method"]
        if announced_bytes is None:
            return receive
        if is_stream(method, path):
            max_bytes = None if path.startswith("/objects/") else self.stream_bytes
            return receive if max_bytes is None else _bounded(receive, announced_bytes, max_bytes)
        if method == "POST" and path in self.upload_paths and _is_form(scope):
            return _bounded(receive, announced_bytes, UPLOAD_BYTES)
        return await self._whole(scope, receive, announced_bytes)

    async def _whole(self, scope: Scope, receive: Receive, announced_bytes: int) -> Receive | None:
        path = scope["path"]
        max_bytes = max_body_bytes(path)
        _require_fits(announced_bytes, max_bytes)
        if announced_bytes > UNAUTHENTICATED_BYTES:
            await self.require_credentials(Request(scope))
        message = await receive()
        while message.get("more_body", False):
            message = await self._with_next_part(
                scope, receive, message, announced_bytes, max_bytes
            )
        if message["type"] != "http.request":
            return None
        if (flaw := json_problem(message["body"], max_quotes(path))) is not None:
            raise ApiError(400, flaw)
        return _replayed(message, receive)

    async def _with_next_part(
        self, scope: Scope, receive: Receive, so_far: Message, announced_bytes: int, max_bytes: int
    ) -> Message:
        """Return the body so far with its next part appended."""
        message = await receive()
        if message["type"] != "http.request":
            return message
        body = so_far["body"] + message["body"]
        if len(so_far["body"]) <= UNAUTHENTICATED_BYTES < len(body) and not announced_bytes:
            await self.require_credentials(Request(scope))
        _require_fits(len(body), max_bytes)
        return {**message, "body": body}


def _checked_head(scope: Scope) -> int | None:
    """Return the announced size of the body, 0 if it is chunked, None if there is none."""
    size, announced_bytes = 0, None
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"content-length":
            announced_bytes = int(value)
        elif name == b"transfer-encoding":
            announced_bytes = announced_bytes or 0
    if size > HEAD_BYTES:
        raise ApiError(431, f"the headers are longer than {HEAD_BYTES} bytes")
    query, path = scope["query_string"], scope["path"]
    if len(query) > QUERY_BYTES or len(path) > QUERY_BYTES:
        raise ApiError(414, f"the URL is longer than {QUERY_BYTES} bytes")
    if "\0" in path or b"%00" in query:
        raise ApiError(400, "the URL contains a NUL character")
    return announced_bytes


def _is_form(scope: Scope) -> bool:
    kind: bytes = next((v for name, v in scope["headers"] if name == b"content-type"), b"")
    return kind.lower().startswith(b"multipart/form-data")


def _require_fits(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ApiError(413, f"the body is too long; the limit here is {max_bytes} bytes")


def _bounded(receive: Receive, announced_bytes: int, max_bytes: int) -> Receive:
    _require_fits(announced_bytes, max_bytes)
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        _require_fits(size, max_bytes)
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


def is_stream(method: str, path: str) -> bool:
    """True if the route reads the body as a stream and limits its size itself."""
    return path.startswith("/objects/") or (method, path) == (
        "POST",
        f"{operator_api.API_PREFIX}/jobs",
    )


def max_body_bytes(path: str) -> int:
    """Return the maximum size in bytes of a body that is not streamed."""
    if path in (f"{worker.WORKER_PREFIX}/register", f"{worker.WORKER_PREFIX}/heartbeat"):
        return UNAUTHENTICATED_BYTES
    if path.startswith(f"{worker.WORKER_PREFIX}/") and path.endswith("/report"):
        return REPORT_BYTES
    return PLAN_BYTES if path == f"{operator_api.API_PREFIX}/plans" else ORDINARY_BYTES


def max_quotes(path: str) -> int:
    """Return how many quotation marks a JSON body may have: two for each name and string."""
    return PLAN_QUOTES if path == f"{operator_api.API_PREFIX}/plans" else MAX_QUOTES


def json_problem(body: bytes, quotes: int = MAX_QUOTES) -> str | None:
    """Return why a body is refused unparsed, or None.

    Reasons: nesting too deep for a recursive parser, more names than any valid request has, or a
    NUL character, which PostgreSQL cannot store in text.
    """
    if _NUL in body:
        return "the body contains a NUL character, which is not allowed"
    if body.count(b'"') - body.count(b'\\"') > quotes:
        return f"the body has more than {quotes // 2} names and strings"
    # Most bodies have too few brackets to be nested this deep: skip the exact count.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and nesting_depth(body) > MAX_DEPTH:
        return f"the body is nested deeper than {MAX_DEPTH} levels"
    return None


def nesting_depth(body: bytes) -> int:
    """Return the nesting depth of the brackets outside strings."""
    outside = b"".join(body.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    brackets = outside.translate(None, delete=_NO_BRACKETS)
    return max(accumulate(map(_BRACKETS.__getitem__, brackets)), default=0)
