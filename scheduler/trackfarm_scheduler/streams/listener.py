"""Subscriber: a bounded buffer of events to send to one client."""

import asyncio
from collections.abc import Iterable

MOST_WAITING = 256 * 1024  # bytes besides the newest text; one second of a farm at full speed


class Listener:
    """Subscriber to one job, or to all jobs of an owner (None: of every owner). Used from one event
    loop."""

    def __init__(self, *, job: str | None, owner: str | None) -> None:
        self.job = job
        self.owner = owner
        self.after = 0  # it already has the events up to this number
        self._waiting: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()
        self.is_over = False

    def offer(self, text: bytes) -> None:
        """Queue events, or end a subscriber that is too slow: it can resume from its last event."""
        if not text:
            return
        if self._size > MOST_WAITING:
            self.end()
            return
        self._waiting.append(text)
        self._size += len(text)
        self._news.set()

    def end(self) -> None:
        self._waiting.clear()
        self.is_over = True
        self._news.set()

    async def next(self, seconds: float) -> bytes:
        """Return all queued events; empty after `seconds` without any, or when the stream is
        over."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return b""
        self._news.clear()
        text = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return text


def joined(texts: Iterable[tuple[int, bytes]], after: int) -> bytes:
    """Join the texts with a number above `after`."""
    return b"".join(text for number, text in texts if number > after)
