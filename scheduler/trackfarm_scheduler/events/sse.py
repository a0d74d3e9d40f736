"""Server-sent events: their bytes, in the format of the HTML standard, section 9.2, and a bounded
buffer of events to send to one client."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

HEARTBEAT = b": still here\n\n"
TRACK_STATE: Mapping[str, str] = {
    "track_done": "done",
    "track_failed": "failed",
    "track_retried": "pending",
    "artifact_voided": "pending",
}
# None: the state depends on the previous one.
JOB_STATE: Mapping[str, str | None] = {
    "job_accepted": "accepted",
    "job_started": "running",
    "job_paused": "paused",
    "job_resumed": "running",
    "job_reopened": "running",
    "job_retried": None,
    "job_done": "done",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
    "job_out_of_budget": "out_of_budget",
}
KINDS = frozenset(TRACK_STATE) | frozenset(JOB_STATE)
MAX_QUEUED_BYTES = 256 * 1024  # bytes besides the newest text; one second of a farm at full speed


def frame(event: str, data: Mapping[str, Any], number: int | None = None) -> bytes:
    """Encode one event. `number` is its id, from which `Last-Event-ID` resumes."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))  # contains no line break
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {event}\ndata: {text}\n\n".encode()


def last_event_id(header: str | None) -> int | None:
    """Parse the `Last-Event-ID` header; None when it is missing or not a number."""
    return int(header) if header and header.isdecimal() and len(header) < 19 else None


class Subscriber:
    """Subscriber to one job, or to all jobs of an owner (None: of every owner). Used from one event
    loop."""

    def __init__(self, *, job: str | None, owner: str | None) -> None:
        self.job = job
        self.owner = owner
        self.after = 0  # it already has the events up to this number
        self._queued: list[bytes] = []
        self._size = 0
        self._has_events = asyncio.Event()
        self.is_over = False

    def offer(self, text: bytes) -> None:
        """Queue events, or end a subscriber that is too slow: it can resume from its last event."""
        if not text:
            return
        if self._size > MAX_QUEUED_BYTES:
            self.end()
            return
        self._queued.append(text)
        self._size += len(text)
        self._has_events.set()

    def end(self) -> None:
        self._queued.clear()
        self.is_over = True
        self._has_events.set()

    async def next(self, seconds: float) -> bytes:
        """Return all queued events; empty after `seconds` without any, or when the stream is
        over."""
        try:
            async with asyncio.timeout(seconds):
                await self._has_events.wait()
        except TimeoutError:
            return b""
        self._has_events.clear()
        text = b"".join(self._queued)
        self._queued.clear()
        self._size = 0
        return text


def joined(texts: Iterable[tuple[int, bytes]], after: int) -> bytes:
    """Join the texts with a number above `after`."""
    return b"".join(text for number, text in texts if number > after)
