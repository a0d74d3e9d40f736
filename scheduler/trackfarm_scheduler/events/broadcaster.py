"""Event broadcaster: reads each event once, however many clients subscribe, and passes it on."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import structlog
from anyio import CapacityLimiter, to_thread

from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.events import reader
from trackfarm_scheduler.events.reader import EventMessage
from trackfarm_scheduler.events.sse import Subscriber, joined

log = structlog.get_logger(__name__)
READ_SECONDS = 0.25
REST_FACTOR = 4.0  # the reader rests this many times as long as it worked
PROGRESS_SECONDS = 1.0
PROGRESS_REST_FACTOR = (
    20.0  # ratio of the pause between two counts of a job to the duration of one count
)
PAGE = 1_000
FAILED_SECONDS = 2.0


class TooManyStreams(Exception):
    """The key has reached its limit of open streams."""


class EventBroadcaster:
    """Event broadcaster. `most`: maximum streams per key. Used from one event loop; reads only
    while there are subscribers."""

    def __init__(self, database: Database, max_streams: int) -> None:
        self._database = database
        self._max_streams = max_streams
        self._subscribers: dict[Subscriber, str] = {}
        self._streams: Counter[str] = Counter()
        self._position = 0
        self._reading: asyncio.Task[None] | None = None
        self._changed_jobs: set[str] = set()
        self._counted_at: dict[str, float] = {}
        self._own_thread = CapacityLimiter(1)

    async def subscribe(self, subscriber: Subscriber, key_id: str) -> int:
        """Subscribe to events from now on. Returns the number of the newest event: the caller looks
        up earlier ones itself. Raises TooManyStreams."""
        if self._streams[key_id] >= self._max_streams:
            raise TooManyStreams
        self._streams[key_id] += 1
        self._subscribers[subscriber] = key_id
        try:
            newest = await self._read_newest()
        except BaseException:
            self.unsubscribe(subscriber)
            raise
        subscriber.after = newest
        if self._reading is None or self._reading.done():
            self._position = newest
            self._reading = asyncio.create_task(self._read())
        return newest

    def unsubscribe(self, subscriber: Subscriber) -> None:
        key_id = self._subscribers.pop(subscriber, None)
        if key_id is not None:
            self._streams[key_id] -= 1
            self._streams += Counter()  # drops keys without streams

    def close(self) -> None:
        """End all streams."""
        for subscriber in self._subscribers:
            subscriber.end()

    async def _read(self) -> None:
        while self._subscribers:
            began = time.monotonic()
            pause = READ_SECONDS
            try:
                page = await to_thread.run_sync(self._page, limiter=self._own_thread)
                self._publish(page)
                await self._publish_progress()
                pause = 0.0 if len(page) == PAGE else READ_SECONDS
            except Exception:
                log.exception("events_read_failed")
                pause = FAILED_SECONDS
            await asyncio.sleep(max(pause, REST_FACTOR * (time.monotonic() - began)))

    def _page(self) -> list[EventMessage]:
        with self._database.read() as session:
            return reader.read(session, after=self._position, limit=PAGE)

    async def _read_newest(self) -> int:
        def ask() -> int:
            with self._database.read() as session:
                return reader.newest(session)

        return await to_thread.run_sync(ask, limiter=self._own_thread)

    def _publish(self, page: Sequence[EventMessage]) -> None:
        if not page:
            return
        self._position = page[-1].number
        of_jobs, of_owners = _sorted(page)
        everything = [(item.number, item.whole) for item in page if item.whole]
        joined_texts: dict[tuple[str | None, str | None], bytes] = {}
        first = page[0].number
        for subscriber in self._subscribers:
            events = (
                of_jobs.get(subscriber.job, [])
                if subscriber.job is not None
                else everything
                if subscriber.owner is None
                else of_owners.get(subscriber.owner, [])
            )
            if subscriber.after >= first:
                text = joined(events, subscriber.after)
            else:
                filter_key = subscriber.job, subscriber.owner
                text = joined_texts[filter_key] = (
                    joined_texts[filter_key] if filter_key in joined_texts else joined(events, 0)
                )
            if text:
                subscriber.offer(text)
        subscribed_jobs = {subscriber.job for subscriber in self._subscribers}
        self._changed_jobs |= {
            job for item in page for job in item.changed_jobs if job in subscribed_jobs
        }

    async def _publish_progress(self) -> None:
        now = time.monotonic()
        for job_id in [job for job in self._changed_jobs if self._counted_at.get(job, 0.0) <= now]:
            self._changed_jobs.discard(job_id)
            began = time.monotonic()
            text = await to_thread.run_sync(self.progress, job_id, limiter=self._own_thread)
            took = time.monotonic() - began
            self._counted_at[job_id] = now + max(PROGRESS_SECONDS, PROGRESS_REST_FACTOR * took)
            for subscriber in self._subscribers:
                if subscriber.job == job_id:
                    subscriber.offer(text)
        subscribed_jobs = {subscriber.job for subscriber in self._subscribers}
        self._counted_at = {
            job: at for job, at in self._counted_at.items() if job in subscribed_jobs
        }

    def progress(self, job_id: str) -> bytes:
        """Return the progress of a job as an event; empty when the job no longer exists."""
        with self._database.read() as session:
            return reader.progress(session, job_id) or b""


def _sorted(
    page: Sequence[EventMessage],
) -> tuple[dict[str, list[tuple[int, bytes]]], dict[str, list[tuple[int, bytes]]]]:
    of_jobs: dict[str, list[tuple[int, bytes]]] = {}
    of_owners: dict[str, list[tuple[int, bytes]]] = {}
    for item in page:
        for job_id, text in item.by_job.items():
            of_jobs.setdefault(job_id, []).append((item.number, text))
        if item.whole:
            of_owners.setdefault(item.owner, []).append((item.number, item.whole))
    return of_jobs, of_owners
