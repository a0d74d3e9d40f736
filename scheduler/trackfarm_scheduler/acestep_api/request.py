"""Requests as clients of ACE-Step's API server send them: a body of JSON, a form, or a form with
files, and a key in the header, or as `ai_token` in the body or the query."""

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
MAX_FILES, MAX_FIELDS = 4, 200
_TOKEN_PART = re.compile(rb'name="?ai_token"?[^\r]*\r\n(?:[^\r\n]+\r\n)*\r\n([!-~]{1,200})\r\n')
_MISSING = f"send the key as `Authorization: Bearer <key>`, or as {TOKEN} (before any file)"
PREFIXES = ("/release_task", "/query_result", "/format_input", "/create_random_sample", "/v1/")


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A parsed request body; `files` are temporary files until `close`."""

    fields: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, UploadFile] = field(default_factory=dict)

    async def close(self) -> None:
        for file in self.files.values():
            await file.close()


async def read(request: Request, body: AsyncGenerator[bytes, None]) -> RequestBody:
    """Parse a request body. Raises ApiError: 400 if malformed, 415 for another media type."""
    kind = content_type(request)
    try:
        if kind == JSON:
            return RequestBody(_object(b"".join([part async for part in body])))
        if kind == FORM:
            return RequestBody(dict(await FormParser(request.headers, body).parse()))
        if kind == MULTIPART:
            return await _multipart(request, body)
    except MultiPartException as error:
        raise ApiError(400, f"the form is malformed: {error.message}") from error
    except (ValueError, RecursionError, KeyError) as error:
        raise ApiError(400, f"the body is not valid {kind}") from error
    raise ApiError(415, f"send {JSON}, {FORM} or {MULTIPART}")


def content_type(request: Request) -> str:
    """Return the media type of the body without its parameters; JSON by default."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower()


def _object(body: bytes) -> dict[str, object]:
    parsed = json.loads(body) if body.strip() else {}
    if not isinstance(parsed, dict):
        raise ValueError("not an object")  # noqa: TRY004 - handled like any other invalid text
    return parsed


async def _multipart(request: Request, body: AsyncGenerator[bytes, None]) -> RequestBody:
    parser = MultiPartParser(
        request.headers, body, max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MIB
    )
    form = await parser.parse()
    files = {name: part for name, part in form.items() if isinstance(part, UploadFile)}
    return RequestBody({name: part for name, part in form.items() if name not in files}, files)


async def read_token_ahead(body: AsyncGenerator[bytes, None]) -> tuple[str, list[bytes]]:
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


async def rejoin(
    parts: Iterable[bytes], rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield a body again from the parts already read and the rest."""
    for part in parts:
        yield part
    async for part in rest:
        yield part


async def require_caller(request: Request) -> None:
    """Check as `auth.require_credentials` does, for all routes; here the key may be in the query."""
    token = None
    if request.url.path.startswith(PREFIXES) and "authorization" not in request.headers:
        token = request.query_params.get(TOKEN)
    await require_credentials(request, token=token)


@dataclass(frozen=True)
class RequireKey(RequireScope):
    """Dependency like `RequireScope`, but the key may also be `ai_token`. Reads the body of a POST
    into `state.body`."""

    async def token_of(self, request: Request) -> str:
        token = _header_or_query_token(request)
        if request.method != "POST":
            return token or bearer(request)
        stream = request.stream()
        if token:
            await self.admit(request, token)
        elif content_type(request) == MULTIPART:
            token, parts = await read_token_ahead(stream)
            if not token:
                raise ApiError(401, _MISSING, headers=BEARER)
            await self.admit(request, token)
            stream = rejoin(parts, stream)
        body = await read(request, stream)
        request.state.body = body
        key = token or body.fields.get(TOKEN)
        if not isinstance(key, str) or not key:
            raise ApiError(401, _MISSING, headers=BEARER)
        return key


def _header_or_query_token(request: Request) -> str:
    """Return the key in the header or the query; empty if it is in neither."""
    if "authorization" in request.headers:
        return bearer(request)
    return request.query_params.get(TOKEN, "")


async def _parsed_body(request: Request) -> AsyncGenerator[RequestBody, None]:
    body: RequestBody = request.state.body
    try:
        yield body
    finally:
        await body.close()


KeyReader = Annotated[Caller, Depends(RequireKey(Scope.READ))]
KeySubmitter = Annotated[Caller, Depends(RequireKey(Scope.SUBMIT))]
# Must come after one of the above among the parameters of a route.
ParsedBody = Annotated[RequestBody, Depends(_parsed_body)]
