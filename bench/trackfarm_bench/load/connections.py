"""Minimal connections of a simulated worker, so that the measurement adds little load itself."""

import asyncio
import base64
import json
from typing import Any
from urllib.parse import urlsplit


class HttpConnection:
    """HTTP/1.1 over one persistent connection, one request at a time."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        self._token = token
        self._one_at_a_time = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, Any]:
        """Return the status and the decoded response; retries on a new connection if the old one
        was closed."""
        head = (
            f"POST /worker/v1/{path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self._token}"
            f"\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        async with self._one_at_a_time:
            try:
                return await self._exchange(head.encode() + body)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.close()
                return await self._exchange(head.encode() + body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def _exchange(self, request: bytes) -> tuple[int, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(length))
        return int(head[9:12]), json.loads(body)


class Queue:
    """Pops messages off one list in Redis, as Celery's consumer does with `BRPOP key 1`."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 6379
        self._login = (
            _command("AUTH", parts.username or "default", parts.password) if parts.password else b""
        )
        self._pop = _command("BRPOP", key, "1")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def pop(self) -> tuple[str, str] | None:
        """Return shard id and lease id of the next message; None if none came within a second."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
            if self._login:
                self._streams[1].write(self._login)
                await self._streams[0].readline()
        reader, writer = self._streams
        writer.write(self._pop)
        if await reader.readline() == b"*-1\r\n":
            return None
        await _bulk(reader)
        return shard_of(await _bulk(reader))

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


def shard_of(message: bytes) -> tuple[str, str]:
    """Return the arguments of a Celery message (protocol 2, JSON, in the format of kombu's Redis
    transport)."""
    body = json.loads(base64.b64decode(json.loads(message)["body"]))
    shard_id, lease_id = body[0]
    return shard_id, lease_id


async def _bulk(reader: asyncio.StreamReader) -> bytes:
    length = int((await reader.readline())[1:])
    return (await reader.readexactly(length + 2))[:-2]


def _command(*words: str) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()
