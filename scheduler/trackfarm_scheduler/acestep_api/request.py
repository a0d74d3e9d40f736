"""Request bodies: JSON, a form, or a form with files.

Authentication as clients of ACE-Step's API server do it.

The key is in the header, or is `ai_token` in the body or the query.
"""

import json
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from trackfarm.protocol.accounts import Scope
from trackfarm_scheduler.acestep_api.parameters import TOKEN
from trackfarm_scheduler.api.auth import BEARER, RequireScope, bearer, require_credentials
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.request_body import MIB, UNAUTHENTICATED_BYTES
from trackfarm_scheduler.policy.identity import Caller

JSON, FORM, MULTIPART = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
)
MOST_FILES, MOST_FIELDS = 4, 200
_TOKEN_PART = re.compile(rb'name="?ai_token"?[^\r]*\r\n(?:[^\r\n]+\r\n)*\r\n([!-~]{1,200})\r\n')


@dataclass(frozen=True, slots=True)
class Sent:
    """A parsed request body; `files` are temporary files until `close`."""

    fields: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, UploadFile] = field(default_factory=dict)

    async def close(self) -> None:
        for file in self.files.values():
            await file.close()


def content_type(request: Request) -> str:
    """Return the media type of the body without its parameters; JSON by default."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower()


async def read(request: Request, body: AsyncGenerator[bytes, None]) -> Sent:
    """Parse a request body. Raises ApiError: 400 if malformed, 415 for another media type."""
    kind = content_type(request)
    try:
        if kind == JSON:
            return Sent(_object(b"".join([part async for part in body])))
        if kind == FORM:
            return Sent(dict(await FormParser(request.headers, body).parse()))
        if kind == MULTIPART:
            return await _multipart(request, body)
    except MultiPartException as error:
        raise ApiError(400, f"the form is malformed: {error.message}") from error
    except (ValueError, RecursionError, KeyError) as error:
        raise ApiError(400, f"the body is not valid {kind}") from error
    raise ApiError(415, f"send {JSON}, {FORM} or {MULTIPART}")


def _object(body: bytes) -> dict[str, object]:
    parsed = json.loads(body) if body.strip() else {}
    if not isinstance(parsed, dict):
        raise ValueError("not an object")  # noqa: TRY004 - handled like any other invalid text
    return parsed


async def _multipart(request: Request, body: AsyncGenerator[bytes, None]) -> Sent:
    parser = MultiPartParser(
        request.headers, body, max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=MIB
    )
    form = await parser.parse()
    files = {name: part for name, part in form.items() if isinstance(part, UploadFile)}
    return Sent({name: part for name, part in form.items() if name not in files}, files)


async def token_ahead(body: AsyncGenerator[bytes, None]) -> tuple[str, list[bytes]]:
    """Return the `ai_token` in the first 64 KiB of a form with files, and the parts read so far.

    The token is empty if there is none. Only this much is read without authentication; clients send
    fields before files.
    """
    parts: list[bytes] = []
    async for part in body:
        parts.append(part)
        head = b"".join(parts)
        if match := _TOKEN_PART.search(head[:UNAUTHENTICATED_BYTES]):
            return match[1].decode(), parts
        if len(head) > UNAUTHENTICATED_BYTES:
            break
    return "", parts


async def rejoined(
    parts: Iterable[bytes], rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield a body again from the parts already read and the rest."""
    for part in parts:
        yield part
    async for part in rest:
        yield part


_MISSING = f"send the key as `Authorization: Bearer <key>`, or as {TOKEN} (before any file)"
PREFIXES = ("/release_task", "/query_result", "/format_input", "/create_random_sample", "/v1/")


async def require_caller(request: Request) -> None:
    """Check as `auth.require_known` does, for all routes; here the key may be in the query."""
    token = None
    if request.url.path.startswith(PREFIXES) and "authorization" not in request.headers:
        token = request.query_params.get(TOKEN)
    await require_credentials(request, token=token)


@dataclass(frozen=True)
class NeedsKey(RequireScope):
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
                raise ApiError(401, _MISSING, headers=BEARER)
            await self.admit(request, token)
            body = rejoined(parts, body)
        sent = await read(request, body)
        request.state.sent = sent
        key = token or sent.fields.get(TOKEN)
        if not isinstance(key, str) or not key:
            raise ApiError(401, _MISSING, headers=BEARER)
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
