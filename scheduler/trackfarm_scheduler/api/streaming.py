"""Streaming responses that disconnect slow clients."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

log = structlog.get_logger(__name__)
CLIENT_TIMEOUT_SECONDS = 30.0  # seconds in which a client must accept the next chunk


class SlowClientStreamingResponse(StreamingResponse):
    """A streaming response that closes its source when the client disconnects.

    A client that accepts nothing for `patience` seconds is disconnected. `on_end` is always called
    at the end.
    """

    def __init__(
        self,
        source: AsyncGenerator[bytes],
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = CLIENT_TIMEOUT_SECONDS,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(source, headers=headers, media_type=media_type)
        self._source = source
        self._timeout_seconds = timeout_seconds
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()

    async def stream_response(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        async with aclosing(self._source) as source:
            async for chunk in source:
                try:
                    async with asyncio.timeout(self._timeout_seconds):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                except TimeoutError:
                    log.info("slow_client_disconnected", media_type=self.media_type)
                    return  # without the end of the body, so that the client sees it is incomplete
        await send({"type": "http.response.body", "body": b"", "more_body": False})
