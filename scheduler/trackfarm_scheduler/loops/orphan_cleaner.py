"""Orphan cleaner: deletes objects of abandoned attempts once they can no longer be written.

An attempt's upload URL outlives its lease, so its object is deleted only after the URL has expired;
every attempt names its object, so the store need not be listed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from trackfarm_scheduler.db import artifacts
from trackfarm_scheduler.db import submission as submission_db
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.objects.base import ObjectStore

BATCH = 500
STALE_UPLOAD_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanCleaner:
    """Orphan cleaner. `margin` seconds are added to each expiry to allow for clock differences."""

    database: Database
    objects: ObjectStore
    leadership: Leadership
    clock: Callable[[], float]
    margin: float

    def recover(self) -> None:
        """Remove unfinished submissions when the only scheduler starts, since none can be in
        progress then."""
        self._sweep_uploads(self.clock())

    def tick(self) -> None:
        if self.leadership.leads:
            self._sweep_uploads(self.clock() - STALE_UPLOAD_SECONDS)
            self._sweep_objects()

    def _sweep_uploads(self, stale: float) -> None:
        """Remove submissions that were interrupted when their scheduler died."""
        with self.database.read() as session:
            job_ids = submission_db.list_stale(session, untouched_since=stale)
        for job_id in job_ids:
            with self.database.write() as session:
                submission_db.abandon_stale(session, job_id, untouched_since=stale)

    def _sweep_objects(self) -> None:
        while True:
            with self.database.read() as session:
                batch = artifacts.list_leftovers(
                    session, written_before=self.clock() - self.margin, limit=BATCH
                )
            if not batch:
                return
            self.objects.remove(batch.values())
            with self.database.write() as session:
                artifacts.mark_removed(session, list(batch), self.clock())
