"""`Idempotency-Key`: requests that may be sent again and are carried out once."""

import hashlib
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.types import Message

from trackfarm_scheduler.api.auth import authenticate_key, bearer, get_services
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.db import idempotency
from trackfarm_scheduler.db.idempotency import IdempotencyKey, StoredResponse
from trackfarm_scheduler.services import Services

HEADER = "Idempotency-Key"
RETRY_AFTER_SECONDS = 5
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class RepeatableRoute(APIRoute):
    """Route that carries out a POST with the header only once for each caller and key.

    For a day, the same request gets the same response again. 422: the key was used for a different
    request; 409: the first request is still being processed. A refused request changes nothing and
    is not stored.
    """

    def get_route_handler(self) -> _Handler:
        inner = super().get_route_handler()
        if "POST" not in (self.methods or ()):
            return inner

        async def handle(request: Request) -> Response:
            token = request.headers.get(HEADER)
            return await (inner(request) if token is None else _once(request, token, inner))

        return handle


async def _once(request: Request, token: str, inner: _Handler) -> Response:
    if not _FORM.fullmatch(token):
        raise ApiError(400, f"{HEADER} must be 1 to 255 printable ASCII characters without spaces")
    caller, services = await authenticate_key(request, bearer(request)), await get_services(request)
    claim = IdempotencyKey(caller.identity.key_id, token)
    body = _DigestedBody(request)
    if await run_in_threadpool(_reserve, services, claim):
        return await _first(body, services, claim, inner)
    answer = await run_in_threadpool(_kept, services, claim)
    if answer is None:
        detail = f"the first request with this {HEADER} is still being processed; try again later"
        raise ApiError(409, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    if await body.to_the_end() != answer.digest:
        raise ApiError(422, f"this {HEADER} was used for a different request; use a new one")
    headers = {"Idempotency-Replayed": "true"}
    return Response(answer.body, answer.status, headers, media_type=answer.media_type)


async def _first(
    body: "_DigestedBody", services: Services, claim: IdempotencyKey, inner: _Handler
) -> Response:
    try:
        response = await inner(body.request)
    except BaseException:
        await run_in_threadpool(_release, services, claim)
        raise
    digest = await body.to_the_end()
    text = bytes(response.body).decode()
    kind = response.headers["content-type"]
    await run_in_threadpool(
        _keep, services, claim, StoredResponse(digest, response.status_code, kind, text)
    )
    return response


class _DigestedBody:
    """A request with a running digest of its method, path, query and body."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._ended = False
        target = (request.method, request.url.path, request.url.query)
        self._digest = hashlib.sha256("\n".join(target).encode() + b"\n")
        self.request = Request(request.scope, self._next)

    async def _next(self) -> Message:
        message = await self._receive()
        self._digest.update(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message

    async def to_the_end(self) -> str:
        """Read the rest of the body; return the digest in hexadecimal."""
        while not self._ended:
            await self._next()
        return self._digest.hexdigest()


def _reserve(services: Services, claim: IdempotencyKey) -> bool:
    with services.database.write() as session:
        return idempotency.reserve(session, claim, services.leadership.holder, services.clock())


def _kept(services: Services, claim: IdempotencyKey) -> StoredResponse | None:
    with services.database.read() as session:
        return idempotency.find_response(session, claim)


def _keep(services: Services, claim: IdempotencyKey, answer: StoredResponse) -> None:
    with services.database.write() as session:
        idempotency.store_response(session, claim, answer, services.clock())


def _release(services: Services, claim: IdempotencyKey) -> None:
    with services.database.write() as session:
        idempotency.release(session, claim)
