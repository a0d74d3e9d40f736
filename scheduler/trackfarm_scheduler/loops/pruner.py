"""Pruner: deletes data past its retention, and jobs removed by the operator."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from trackfarm_scheduler.db import calls, events, job_deletion, uploads, webhook_outbox
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.policy.retention import RetentionSeconds, cutoffs

BATCH = 100  # tracks or uploads per transaction; their objects are deleted while it is open
EVENTS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Pruner. Objects are deleted before the deletion of their rows is committed, so that an
    interrupted deletion is repeated."""

    database: Database
    objects: ObjectStore
    leadership: Leadership
    clock: Callable[[], float]
    retention: RetentionSeconds

    def tick(self) -> None:
        if not self.leadership.leads:
            return
        due = cutoffs(self.retention, self.clock())
        self._repeat(partial(self._retire_calls, due.calls))
        with self.database.read() as session:
            jobs = job_deletion.list_removed(session, written_before=due.removals)
        for job_id in jobs:
            self._repeat(partial(self._remove_tracks, job_id))
        self._repeat(partial(self._remove_uploads, due.uploads))
        self._repeat(partial(self._remove_events, due.events))
        self._repeat(partial(self._remove_messages, due.events))

    def _repeat(self, some: Callable[[], bool]) -> None:
        while self.leadership.leads and some():
            pass

    def _retire_calls(self, since: float) -> bool:
        with self.database.write() as session:
            self.leadership.require(session)
            return calls.remove_old(session, since=since, limit=BATCH, now=self.clock()) == BATCH

    def _remove_tracks(self, job_id: str) -> bool:
        # Skips the write queue, so that other writes do not wait for a store that hangs for minutes.
        with self.database.write(queued=False) as session:
            self.leadership.require(session)
            keys = job_deletion.delete_tracks(session, job_id, BATCH)
            if keys is None:
                job_deletion.delete_job(session, job_id, self.clock())
                return False
            self.objects.remove(keys)
            return True

    def _remove_uploads(self, since: float) -> bool:
        with self.database.write(queued=False) as session:
            self.leadership.require(session)
            keys = uploads.delete_unused(session, since=since, limit=BATCH)
            self.objects.remove(keys)
            return len(keys) == BATCH

    def _remove_events(self, before: float) -> bool:
        with self.database.write() as session:
            self.leadership.require(session)
            return events.delete_old(session, before=before, limit=EVENTS) == EVENTS

    def _remove_messages(self, before: float) -> bool:
        with self.database.write() as session:
            self.leadership.require(session)
            return webhook_outbox.delete_old(session, ended_before=before, limit=EVENTS) == EVENTS
