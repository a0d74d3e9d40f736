"""Middleware for every request: limits that need no key, and the headers of every response.

Pure ASGI, because every request pays for it.
"""

import itertools
import secrets

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trackfarm_scheduler.api import rate_limit
from trackfarm_scheduler.api.errors import ApiError, problem_response
from trackfarm_scheduler.api.pages import PATHS_WITH_OWN_POLICY
from trackfarm_scheduler.api.request_body import BodyLimiter

log = structlog.get_logger(__name__)
_PROCESS, _NUMBERS = secrets.token_hex(4), itertools.count()
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # a URL may contain a signature
    (b"x-frame-options", b"DENY"),
]
_ALWAYS_AT_THE_API = [
    *_ALWAYS,
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
# Stored objects are untrusted: no browser may run one or treat it as one of our pages.
_OBJECTS = [(b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'")]
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_HANG_UP = {"Connection": "close"}  # the rest of the body is not read


class RequestMiddleware:
    """Give each request an id and each response its headers; refuse unreadable requests."""

    def __init__(self, app: ASGIApp, *, limiter: BodyLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{_PROCESS}{next(_NUMBERS):x}"
        scope.setdefault("state", {})["request_id"] = request_id
        response_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal response_started
            if message["type"] == "http.response.start":
                response_started = True
                message["headers"] = _headers(scope, message.get("headers", []), request_id)
            await send(message)

        try:
            admitted = await self._limiter.admit(scope, receive)
            if admitted is not None:
                await self._app(scope, admitted, send_with_headers)
        except ApiError as refusal:
            headers = {**(refusal.headers or {}), **_HANG_UP}
            refused = problem_response(refusal.status, refusal.detail, headers=headers)
            await refused(scope, receive, send_with_headers)
        except Exception:
            log.exception("request_failed", path=scope["path"], request_id=request_id)
            if response_started:
                raise
            failed = problem_response(500, f"internal error ({request_id}); see the scheduler log")
            await failed(scope, receive, send_with_headers)


def _headers(
    scope: Scope, app_headers: list[tuple[bytes, bytes]], request_id: str
) -> list[tuple[bytes, bytes]]:
    headers = [
        *app_headers,
        *_policy(scope["path"], app_headers),
        (b"x-request-id", request_id.encode()),
    ]
    if scope["scheme"] == "https":
        headers.append(_HSTS)
    return headers + rate_limit.limit_headers(scope["state"])


def _policy(path: str, app_headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    if path.startswith("/objects/"):
        return [*(field for field in _ALWAYS if field not in app_headers), *_OBJECTS]
    return _ALWAYS if path in PATHS_WITH_OWN_POLICY else _ALWAYS_AT_THE_API
