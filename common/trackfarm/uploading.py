"""One file on its way to the farm's object store, by a signed URL."""

import base64
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds; `md5` is base64, as Content-MD5 wants it, `sha256` hexadecimal."""

    size: int
    md5: str
    sha256: str


def content_of(path: Path) -> Content:
    """Reads the file once, in pieces. Raises OSError."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            md5.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
    return Content(size, base64.b64encode(md5.digest()).decode(), sha256.hexdigest())


def put(
    path: Path,
    content: Content,
    url: str,
    headers: Mapping[str, str],
    timeout: httpx.Timeout,
    verify: ssl.SSLContext | bool = True,
) -> httpx.Response:
    """Sends the file whole. Raises OSError and httpx.TransportError.

    Not through the farm's own connection: its store must not see the API key.
    """
    told = {**headers, "Content-Length": str(content.size), "Content-MD5": content.md5}
    with path.open("rb") as file:
        return httpx.put(url, content=file, headers=told, timeout=timeout, verify=verify)
