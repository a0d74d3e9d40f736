"""Removes what has been kept for long enough, and what the operator wants removed."""

from collections.abc import Callable
from functools import partial

from trackfarm_scheduler.leadership import Leadership
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.retention import Keep, cutoffs
from trackfarm_scheduler.store import calls, journal, removals, uploads
from trackfarm_scheduler.store.database import Database

BATCH = 100  # tracks or uploads in a transaction: their objects are removed while it is open
EVENTS = 5_000


class Remover:
    """Objects go before the rows that name them are committed as gone, so that what a crash
    interrupts is done again."""

    def __init__(
        self,
        *,
        database: Database,
        objects: ObjectStore,
        leadership: Leadership,
        clock: Callable[[], float],
        keep: Keep,
    ) -> None:
        self._database = database
        self._objects = objects
        self._leadership = leadership
        self._clock = clock
        self._keep = keep

    def tick(self) -> None:
        if not self._leadership.leads:
            return
        due = cutoffs(self._keep, self._clock())
        self._repeat(partial(self._retire_calls, due.calls))
        with self._database.read() as session:
            jobs = removals.removed(session, written_before=due.removals)
        for job_id in jobs:
            self._repeat(partial(self._remove_tracks, job_id))
        self._repeat(partial(self._remove_uploads, due.uploads))
        self._repeat(partial(self._remove_events, due.events))

    def _repeat(self, some: Callable[[], bool]) -> None:
        while self._leadership.leads and some():
            pass

    def _retire_calls(self, since: float) -> bool:
        with self._database.write() as session:
            self._leadership.require(session)
            return calls.retire(session, since=since, limit=BATCH, now=self._clock()) == BATCH

    def _remove_tracks(self, job_id: str) -> bool:
        with self._database.write() as session:
            self._leadership.require(session)
            keys = removals.take_batch(session, job_id, BATCH)
            if keys is None:
                removals.finish(session, job_id, self._clock())
                return False
            self._objects.remove(keys)
            return True

    def _remove_uploads(self, since: float) -> bool:
        with self._database.write() as session:
            self._leadership.require(session)
            keys = uploads.take_unused(session, since=since, limit=BATCH)
            self._objects.remove(keys)
            return len(keys) == BATCH

    def _remove_events(self, before: float) -> bool:
        with self._database.write() as session:
            self._leadership.require(session)
            return journal.forget(session, before=before, limit=EVENTS) == EVENTS
