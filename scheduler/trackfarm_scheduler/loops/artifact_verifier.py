"""Artifact verifier: checks committed objects again in stores that do not enforce write-once.

A presigned PUT URL outlives the commit. After it has expired the object can no longer be
overwritten, so one check then is enough.
"""

from collections.abc import Callable
from dataclasses import dataclass

from trackfarm_scheduler.db import artifacts, jobs
from trackfarm_scheduler.db.artifacts import CommittedArtifact
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.objects.base import ObjectStat, ObjectStore
from trackfarm_scheduler.results.failures import FailureHandler

BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactVerifier:
    """Artifact verifier. `margin` seconds are added to each expiry to allow for clock
    differences."""

    database: Database
    objects: ObjectStore
    leadership: Leadership
    clock: Callable[[], float]
    margin: float

    def tick(self) -> None:
        """Verify a batch. A changed object voids its track and adds a strike to its worker."""
        if not self.leadership.leads or self.objects.writes_once:
            return
        before = self.clock() - self.margin
        with self.database.read() as session:
            artifacts_due = artifacts.list_unverified(session, written_before=before, limit=BATCH)
        changed = [c for c in artifacts_due if is_changed(c, self.objects.stat(c.object_key))]
        unchanged = [c.track_id for c in artifacts_due if c not in changed]
        if unchanged:
            with self.database.write() as session:
                artifacts.mark_verified(session, unchanged, self.clock())
        for committed in changed:
            self._void(committed)

    def _void(self, committed: CommittedArtifact) -> None:
        now = self.clock()
        with self.database.write() as session:
            if artifacts.revoke(session, committed, now):
                jobs.reopen(session, committed.track_id, now)
                FailureHandler.strike(session, committed.worker_id, 1, now)
        self.objects.remove([committed.object_key])


def is_changed(committed: CommittedArtifact, stat: ObjectStat | None) -> bool:
    """Return whether an object differs from the committed one; a missing one does."""
    if stat is None or stat.size != committed.size:
        return True
    if committed.etag:
        return stat.etag != committed.etag
    return stat.md5_hex not in (None, committed.md5)
