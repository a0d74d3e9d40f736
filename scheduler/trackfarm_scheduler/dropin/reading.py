"""Request bodies: JSON, a form, or a form with files."""

import json
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from trackfarm_scheduler.api.bodies import MIB, STRANGER_BYTES
from trackfarm_scheduler.api.problems import Refused

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
    """Parse a request body. Raises Refused: 400 if malformed, 415 for another media type."""
    kind = content_type(request)
    try:
        if kind == JSON:
            return Sent(_object(b"".join([part async for part in body])))
        if kind == FORM:
            return Sent(dict(await FormParser(request.headers, body).parse()))
        if kind == MULTIPART:
            return await _multipart(request, body)
    except MultiPartException as error:
        raise Refused(400, f"the form is malformed: {error.message}") from error
    except (ValueError, RecursionError, KeyError) as error:
        raise Refused(400, f"the body is not valid {kind}") from error
    raise Refused(415, f"send {JSON}, {FORM} or {MULTIPART}")


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
        if match := _TOKEN_PART.search(head[:STRANGER_BYTES]):
            return match[1].decode(), parts
        if len(head) > STRANGER_BYTES:
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
