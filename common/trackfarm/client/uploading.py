"""Upload of one file to the farm's object store by a signed URL."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trackfarm.client.steps import Request

BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """Size (bytes) and digests of a file; `md5` in base64 for Content-MD5, `sha256` in hex."""

    size: int
    md5: str
    sha256: str


def content_of(path: Path) -> Content:
    """Read the file once, in chunks, and return its size and digests. Raises OSError."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            md5.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
    return Content(size, base64.b64encode(md5.digest()).decode(), sha256.hexdigest())


def put(path: Path, content: Content, url: str, headers: Mapping[str, str]) -> Request:
    """Return the PUT request of the whole file to a signed URL that requires `headers`."""
    content_headers = {"Content-Length": str(content.size), "Content-MD5": content.md5}
    return Request(
        method="PUT", url=url, headers={**headers, **content_headers}, body=partial(_blocks, path)
    )


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
