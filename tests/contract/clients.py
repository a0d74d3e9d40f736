"""Requests of workers and customers to signed URLs of an object store: plain HTTP."""

import hashlib
from datetime import timedelta
from pathlib import Path

import httpx

from trackfarm.client import requests
from trackfarm.client.requests import Content
from trackfarm.client.sansio import blocks_of
from trackfarm_scheduler.objects import ObjectStore, SignedUrl

HOUR = timedelta(hours=1)


def put(store: ObjectStore, key: str, body: bytes) -> httpx.Response:
    return send("PUT", store.presign_put(key, expires=HOUR), content=body)


def send(method: str, signed: SignedUrl, content: bytes | None = None) -> httpx.Response:
    return httpx.request(method, signed.url, headers=dict(signed.headers), content=content)


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def read(store: ObjectStore, key: str) -> bytes:
    with store.open(key) as chunks:
        return b"".join(chunks)


def uploaded(path: Path, content: Content, signed: SignedUrl) -> httpx.Response:
    request = requests.put(path, content, signed.url, signed.headers)
    return httpx.put(request.url, headers=request.headers, content=blocks_of(request), timeout=30)


def tampered(url: str) -> str:
    """Return the URL with another last digit in its signature."""
    digits = next(v for n, v in httpx.URL(url).params.items() if n.lower().endswith("signature"))
    other = digits[:-1] + ("0" if digits[-1] != "0" else "1")
    return url.replace(digits, other)
