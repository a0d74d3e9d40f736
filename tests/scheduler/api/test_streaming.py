"""Streaming responses: whole for a client that reads, cut off for one that does not."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from trackfarm_scheduler.api.streaming import SlowClientStreamingResponse

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "headers": [],
    "asgi": {"spec_version": "2.4"},
}


class StreamClient:
    """ASGI client that accepts `chunks` parts of the body and then none."""

    def __init__(self, chunks: float = float("inf")) -> None:
        self.chunks = chunks
        self.messages: list[dict[str, Any]] = []
        self.is_source_closed = False
        self.ends = 0

    async def source(self) -> AsyncGenerator[bytes]:
        try:
            for number in range(3):
                yield f"part {number};".encode()
        finally:
            self.is_source_closed = True

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Any) -> None:
        if len([m for m in self.messages if m.get("body")]) >= self.chunks:
            await asyncio.Event().wait()
        self.messages.append(message)

    def end(self) -> None:
        self.ends += 1

    def read(self) -> bytes:
        response = SlowClientStreamingResponse(
            self.source(), media_type="text/plain", timeout_seconds=0.05, on_end=self.end
        )
        asyncio.run(response(SCOPE, self.receive, self.send))
        return b"".join(message.get("body", b"") for message in self.messages)


def test_stream_is_whole_for_a_client_that_reads() -> None:
    client = StreamClient()
    assert client.read() == b"part 0;part 1;part 2;"
    assert client.messages[-1]["more_body"] is False
    assert (client.is_source_closed, client.ends) == (True, 1)


def test_stream_ends_early_for_a_client_that_does_not_read() -> None:
    client = StreamClient(chunks=1)
    assert client.read() == b"part 0;"
    assert client.messages[-1]["more_body"] is True, "the client sees that it is incomplete"
    assert (client.is_source_closed, client.ends) == (True, 1)
