"""One who listens: what waits to be sent to it, and not more than it may let wait."""

import asyncio
from collections.abc import Iterable

MOST_WAITING = 256 * 1024  # bytes beside what came last; a second of a farm at full speed


class Listener:
    """To one job, or to all of an owner (None: of everybody). Used from one event loop."""

    def __init__(self, *, job: str | None, owner: str | None) -> None:
        self.job = job
        self.owner = owner
        self.after = 0  # events up to this number are not for it: it has them
        self._waiting: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()
        self.is_over = False

    def offer(self, text: bytes) -> None:
        """One that does not keep up is ended: it knows how to go on where it was."""
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
        """All that waits; empty when nothing came for so long, or it is over."""
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
    """Those with a higher number, one behind the other."""
    return b"".join(text for number, text in texts if number > after)
