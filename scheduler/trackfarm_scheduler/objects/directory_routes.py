"""Routes of the scheduler's web application for the signed URLs of a directory store."""

import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.objects.directory_urls import SignatureCheck, put_right
from trackfarm_scheduler.objects.directory_write import AlreadyThere, Incoming
from trackfarm_scheduler.objects.keys import UnsafeKey, checked_key

WRITE_BYTES = 2**20  # one thread call per MiB instead of per network packet

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "opus": "audio/ogg",
}


@dataclass(frozen=True)
class _Refusal:
    status: int
    reason: str

    def response(self) -> Response:
        # The rest of a refused body is not read.
        headers = {"Connection": "close"} if self.status == 413 else None
        return PlainTextResponse(self.reason, self.status, headers)


def directory_router(store: DirectoryStore) -> APIRouter:
    """Return routes for `PUT`, `GET` and `HEAD /objects/{key}` with the store's signed URLs.

    A GET URL also allows HEAD. 400 the body does not match its headers, 403 wrong signature or
    expired (the body says which), 404 no such object, 409 the key is a folder of other keys, 412 an
    object exists that must not be replaced, 413 too big.
    """
    router = APIRouter(include_in_schema=False)

    def refusal(
        method: str, key: str, expires: str, signature: str, filename: str = ""
    ) -> _Refusal | None:
        try:
            checked_key(key)
        except UnsafeKey as error:
            return _Refusal(400, str(error))
        check = store.check_signature(
            method, key, expires=expires, signature=signature, filename=filename
        )
        return None if check is SignatureCheck.GOOD else _Refusal(403, check.value)

    @router.put("/objects/{key:path}")
    async def put(
        key: str,
        request: Request,
        expires: str = "",
        signature: str = "",
        once: str = "",
        content_length: Annotated[int | None, Header(ge=0)] = None,
        content_md5: Annotated[str | None, Header()] = None,
    ) -> Response:
        refused = refusal(put_right(once=bool(once)), key, expires, signature)
        if refused is None and (content_length or 0) > store.max_bytes:
            refused = _too_big(store.max_bytes)
        if refused is not None:
            return refused.response()
        with await run_in_threadpool(store.receive, key) as incoming:
            refused = await _receive(request, incoming, store.max_bytes)
            refused = refused or _mismatch(incoming, content_length, content_md5)
            refused = refused or await run_in_threadpool(_finish, incoming, once=bool(once))
        if refused is not None:
            return refused.response()
        return Response(headers={"ETag": f'"{incoming.md5_hex}"'})

    @router.api_route("/objects/{key:path}", methods=["GET", "HEAD"])
    def get(
        key: str,
        expires: str = "",
        signature: str = "",
        filename: str = "",
    ) -> Response:
        if refused := refusal("GET", key, expires, signature, filename):
            return refused.response()
        if (stat := store.stat(key)) is None:
            return _Refusal(404, "no such object").response()
        return FileResponse(
            store.path(key),
            # The content is untrusted: a browser must not render it as a page of the console.
            headers={"ETag": f'"{stat.md5_hex}"', "X-Content-Type-Options": "nosniff"},
            media_type=MEDIA_TYPES.get(key.rpartition(".")[2], "application/octet-stream"),
            filename=filename or None,
        )

    return router


async def _receive(request: Request, incoming: Incoming, max_bytes: int) -> _Refusal | None:
    try:
        async for chunk in _gathered(request):
            if incoming.size + len(chunk) > max_bytes:
                return _too_big(max_bytes)
            await run_in_threadpool(incoming.write, chunk)
    except ClientDisconnect:
        return _Refusal(400, "the body ended early")
    return None


async def _gathered(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in chunks of about `WRITE_BYTES`."""
    buffer = bytearray()
    async for chunk in request.stream():
        buffer += chunk
        if len(buffer) >= WRITE_BYTES:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


def _mismatch(
    incoming: Incoming, content_length: int | None, content_md5: str | None
) -> _Refusal | None:
    if content_length is not None and content_length != incoming.size:
        return _Refusal(
            400, f"{incoming.size} bytes received, Content-Length says {content_length}"
        )
    if content_md5 is not None and _hex_of(content_md5) != incoming.md5_hex:
        return _Refusal(400, "the MD5 of the body differs from Content-MD5")
    return None


def _hex_of(content_md5: str) -> str | None:
    try:
        return base64.b64decode(content_md5, validate=True).hex()
    except (binascii.Error, ValueError):
        return None


def _finish(incoming: Incoming, *, once: bool) -> _Refusal | None:
    try:
        incoming.finish(once=once)
    except AlreadyThere:
        return _Refusal(412, "an object exists already, and this URL must not replace it")
    except (NotADirectoryError, IsADirectoryError, FileExistsError):
        return _Refusal(409, "the key, or a part of it, is a folder of other keys")
    return None


def _too_big(max_bytes: int) -> _Refusal:
    return _Refusal(413, f"the object is too large; the limit is {max_bytes} bytes")
