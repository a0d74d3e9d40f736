"""Requests of workers and customers to signed URLs of an object store: plain HTTP."""

import base64
import hashlib
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from trackfarm.client import requests
from trackfarm.client.requests import Content
from trackfarm.client.sansio import blocks_of
from trackfarm_scheduler.objects import ObjectStat, ObjectStore, SignedUrl

HOUR = timedelta(hours=1)
Item = TypeVar("Item")
Result = TypeVar("Result")


def put(store: ObjectStore, key: str, body: bytes) -> httpx.Response:
    return send("PUT", store.presign_put(key, expires=HOUR), content=body)


def send(
    method: str, signed: SignedUrl, content: bytes | None = None, *, md5_of: bytes | None = None
) -> httpx.Response:
    """Use a signed URL; `md5_of` is the body that the header Content-MD5 promises."""
    headers = dict(signed.headers)
    if md5_of is not None:
        headers["Content-MD5"] = base64.b64encode(bytes.fromhex(md5(md5_of))).decode()
    return httpx.request(method, signed.url, headers=headers, content=content)


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def stat_of(store: ObjectStore, key: str) -> ObjectStat:
    stat = store.stat(key)
    assert stat is not None, f"{key} is missing"
    return stat


def read(store: ObjectStore, key: str) -> bytes:
    with store.open(key) as chunks:
        return b"".join(chunks)


def sizes_and_digests(store: ObjectStore, prefix: str) -> dict[str, tuple[int, str | None]]:
    return {stat.key: (stat.size, stat.md5_hex) for stat in store.list(prefix)}


def uploaded(path: Path, content: Content, signed: SignedUrl) -> httpx.Response:
    request = requests.put(path, content, signed.url, signed.headers)
    return httpx.put(request.url, headers=request.headers, content=blocks_of(request), timeout=30)


def put_in_pieces(signed: SignedUrl, body: bytes) -> httpx.Response:
    """Send the body in pieces, as a client does that reads a file."""
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    headers = {**signed.headers, "Content-Length": str(len(body))}
    return httpx.put(signed.url, content=pieces, headers=headers, timeout=60)


def put_with_pause(signed: SignedUrl, body: bytes, act: Callable[[], httpx.Response]) -> None:
    """Send half of the body, do something that must succeed, and send the rest."""

    def halves() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        assert act().is_success
        yield body[len(body) // 2 :]

    headers = {**signed.headers, "Content-Length": str(len(body))}
    httpx.put(signed.url, content=halves(), headers=headers)


def begin_upload(signed: SignedUrl, *, sent: int, promised: int) -> None:
    """Send the first bytes of a body, and close the connection as soon as the server has."""
    url = urlsplit(signed.url)
    lines = (
        f"PUT {url.path}?{url.query} HTTP/1.1",
        f"Host: {url.netloc}",
        f"Content-Length: {promised}",
    )
    with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + b"x" * sent)
        connection.shutdown(socket.SHUT_WR)
        # The server has handled the end of the body when it closes the connection.
        while connection.recv(65536):
            pass


def at_once(act: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call `act` with each item, for eight of them at the same time."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(act, items))


def tampered(url: str) -> str:
    """Return the URL with another last digit in its signature."""
    digits = next(v for n, v in httpx.URL(url).params.items() if n.lower().endswith("signature"))
    other = digits[:-1] + ("0" if digits[-1] != "0" else "1")
    return url.replace(digits, other)
