"""Authentication as clients of ACE-Step's API server do it.

The key is in the header, or is `ai_token` in the body or the query.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from trackfarm.access import Scope
from trackfarm_scheduler.access import Caller
from trackfarm_scheduler.api.auth import BEARER, Needs, bearer, require_known
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.dropin.names import TOKEN
from trackfarm_scheduler.dropin.reading import (
    MULTIPART,
    Sent,
    content_type,
    read,
    rejoined,
    token_ahead,
)

_MISSING = f"send the key as `Authorization: Bearer <key>`, or as {TOKEN} (before any file)"
PREFIXES = ("/release_task", "/query_result", "/format_input", "/create_random_sample", "/v1/")


async def require_caller(request: Request) -> None:
    """Check as `auth.require_known` does, for all routes; here the key may be in the query."""
    token = None
    if request.url.path.startswith(PREFIXES) and "authorization" not in request.headers:
        token = request.query_params.get(TOKEN)
    await require_known(request, token=token)


@dataclass(frozen=True)
class NeedsKey(Needs):
    """As `Needs`, but the key may also be `ai_token`. Reads the body of a POST into `state.sent`."""

    async def token_of(self, request: Request) -> str:
        token = _header_or_query_token(request)
        if request.method != "POST":
            return token or bearer(request)
        body = request.stream()
        if token:
            await self.admit(request, token)
        elif content_type(request) == MULTIPART:
            token, parts = await token_ahead(body)
            if not token:
                raise Refused(401, _MISSING, headers=BEARER)
            await self.admit(request, token)
            body = rejoined(parts, body)
        sent = await read(request, body)
        request.state.sent = sent
        key = token or sent.fields.get(TOKEN)
        if not isinstance(key, str) or not key:
            raise Refused(401, _MISSING, headers=BEARER)
        return key


def _header_or_query_token(request: Request) -> str:
    """Return the key in the header or the query; empty if it is in neither."""
    if "authorization" in request.headers:
        return bearer(request)
    return request.query_params.get(TOKEN, "")


async def _sent(request: Request) -> AsyncGenerator[Sent, None]:
    sent: Sent = request.state.sent
    try:
        yield sent
    finally:
        await sent.close()


KeyReader = Annotated[Caller, Depends(NeedsKey(Scope.READ))]
KeySubmitter = Annotated[Caller, Depends(NeedsKey(Scope.SUBMIT))]
# Must come after one of the above among the parameters of a route.
Body = Annotated[Sent, Depends(_sent)]
