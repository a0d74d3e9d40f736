"""Orphan cleaner: deletes objects of abandoned attempts once they can no longer be written.

An attempt's upload URL outlives its lease, so its object is deleted only after the URL has expired;
every attempt names its object, so the store need not be listed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlmodel import Session, col

from trackfarm_scheduler.leadership import Leadership
from trackfarm_scheduler.machines import AttemptState
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.store import intake, journal
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.tables import Attempt

BATCH = 500
STALE_UPLOAD_SECONDS = 120.0
ABANDONED = [
    AttemptState.FAILED,
    AttemptState.RELEASED,
    AttemptState.EXPIRED,
    AttemptState.CANCELLED,
    AttemptState.FORGIVEN,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
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
            job_ids = intake.stale_uploads(session, untouched_since=stale)
        for job_id in job_ids:
            with self.database.write() as session:
                intake.abandon_stale(session, job_id, untouched_since=stale)

    def _sweep_objects(self) -> None:
        while True:
            with self.database.read() as session:
                batch = self._ripe(session)
            if not batch:
                return
            self.objects.remove(batch.values())
            with self.database.write() as session:
                self._mark(session, list(batch))

    def _ripe(self, session: Session) -> dict[int, str]:
        rows = session.execute(
            select(col(Attempt.id), col(Attempt.object_key))
            .where(
                col(Attempt.state).in_(ABANDONED),
                col(Attempt.swept_at).is_(None),
                col(Attempt.url_expires_at) < self.clock() - self.margin,
            )
            .limit(BATCH)
        )
        return {attempt_id: key for attempt_id, key in rows if attempt_id is not None}

    def _mark(self, session: Session, ids: list[int]) -> None:
        now = self.clock()
        session.execute(update(Attempt).where(col(Attempt.id).in_(ids)).values(swept_at=now))
        journal.count(session, "attempts_swept", len(ids))
