"""Reads each event once, however many listen, and passes it on to those it is for."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import structlog
from anyio import CapacityLimiter, to_thread

from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.streams import news
from trackfarm_scheduler.streams.listener import Listener, joined
from trackfarm_scheduler.streams.news import News

log = structlog.get_logger(__name__)
LOOK_SECONDS = 0.25
REST = 4.0  # times as long as it worked, a reader rests
PROGRESS_SECONDS = 1.0
PROGRESS_REST = 20.0  # to count the tracks of a job may take so much of the time between two counts
PAGE = 1_000
FAILED_SECONDS = 2.0


class TooManyStreams(Exception):
    """A key has as many streams as it may."""


class Studio:
    """`most`: streams of one key. Used from one event loop; reads only while somebody listens."""

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._most = most
        self._listeners: dict[Listener, str] = {}
        self._streams: Counter[str] = Counter()
        self._position = 0
        self._reading: asyncio.Task[None] | None = None
        self._touched: set[str] = set()
        self._counted_at: dict[str, float] = {}
        self._own_thread = CapacityLimiter(1)

    async def enter(self, listener: Listener, key_id: str) -> int:
        """From here on the listener is told what happens. Returns the number of the newest event:
        what came before that is the listener's to look up. Raises TooManyStreams."""
        if self._streams[key_id] >= self._most:
            raise TooManyStreams
        self._streams[key_id] += 1
        self._listeners[listener] = key_id
        try:
            newest = await self._ask_newest()
        except BaseException:
            self.leave(listener)
            raise
        listener.after = newest
        if self._reading is None or self._reading.done():
            self._position = newest
            self._reading = asyncio.create_task(self._read())
        return newest

    def leave(self, listener: Listener) -> None:
        key_id = self._listeners.pop(listener, None)
        if key_id is not None:
            self._streams[key_id] -= 1
            self._streams += Counter()  # forgets keys without streams

    def close(self) -> None:
        """Ends all streams."""
        for listener in self._listeners:
            listener.end()

    async def _read(self) -> None:
        while self._listeners:
            began = time.monotonic()
            pause = LOOK_SECONDS
            try:
                page = await to_thread.run_sync(self._page, limiter=self._own_thread)
                self._pass_on(page)
                await self._tell_progress()
                pause = 0.0 if len(page) == PAGE else LOOK_SECONDS
            except Exception:
                log.exception("events_not_read")
                pause = FAILED_SECONDS
            await asyncio.sleep(max(pause, REST * (time.monotonic() - began)))

    def _page(self) -> list[News]:
        with self._database.read() as session:
            return news.read(session, after=self._position, limit=PAGE)

    async def _ask_newest(self) -> int:
        def ask() -> int:
            with self._database.read() as session:
                return news.newest(session)

        return await to_thread.run_sync(ask, limiter=self._own_thread)

    def _pass_on(self, page: Sequence[News]) -> None:
        if not page:
            return
        self._position = page[-1].number
        of_jobs, of_owners = _sorted(page)
        everything = [(each.number, each.whole) for each in page if each.whole]
        whole: dict[tuple[str | None, str | None], bytes] = {}
        first = page[0].number
        for listener in self._listeners:
            mine = (
                of_jobs.get(listener.job, [])
                if listener.job is not None
                else everything
                if listener.owner is None
                else of_owners.get(listener.owner, [])
            )
            if listener.after >= first:
                text = joined(mine, listener.after)
            else:
                place = listener.job, listener.owner
                text = whole[place] = whole[place] if place in whole else joined(mine, 0)
            if text:
                listener.offer(text)
        listened = {listener.job for listener in self._listeners}
        self._touched |= {job for each in page for job in each.touched if job in listened}

    async def _tell_progress(self) -> None:
        now = time.monotonic()
        for job_id in [job for job in self._touched if self._counted_at.get(job, 0.0) <= now]:
            self._touched.discard(job_id)
            began = time.monotonic()
            text = await to_thread.run_sync(self.progress, job_id, limiter=self._own_thread)
            took = time.monotonic() - began
            self._counted_at[job_id] = now + max(PROGRESS_SECONDS, PROGRESS_REST * took)
            for listener in self._listeners:
                if listener.job == job_id:
                    listener.offer(text)
        listened = {listener.job for listener in self._listeners}
        self._counted_at = {job: at for job, at in self._counted_at.items() if job in listened}

    def progress(self, job_id: str) -> bytes:
        """How a job stands, as an event; nothing when it is not there any more."""
        with self._database.read() as session:
            return news.progress(session, job_id) or b""


def _sorted(
    page: Sequence[News],
) -> tuple[dict[str, list[tuple[int, bytes]]], dict[str, list[tuple[int, bytes]]]]:
    of_jobs: dict[str, list[tuple[int, bytes]]] = {}
    of_owners: dict[str, list[tuple[int, bytes]]] = {}
    for each in page:
        for job_id, text in each.by_job.items():
            of_jobs.setdefault(job_id, []).append((each.number, text))
        if each.whole:
            of_owners.setdefault(each.owner, []).append((each.number, each.whole))
    return of_jobs, of_owners
