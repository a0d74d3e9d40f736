"""Looks at committed objects once more, where the store would have let them be replaced.

A presigned PUT outlives the commit. Once it has expired nobody can write the object any more, so
one look then settles the matter.
"""

from collections.abc import Callable
from dataclasses import dataclass

from trackfarm_scheduler.leadership import Leadership
from trackfarm_scheduler.objects.port import ObjectStat, ObjectStore
from trackfarm_scheduler.rulings import Rulings
from trackfarm_scheduler.store import artifacts, jobs
from trackfarm_scheduler.store.artifacts import Committed
from trackfarm_scheduler.store.database import Database

BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LateLook:
    """`margin` seconds are added to each expiry, for clocks that disagree."""

    database: Database
    objects: ObjectStore
    leadership: Leadership
    clock: Callable[[], float]
    margin: float

    def tick(self) -> None:
        """Looks at a batch. What was changed is void, and who could change it is struck."""
        if not self.leadership.leads or self.objects.writes_once:
            return
        before = self.clock() - self.margin
        with self.database.read() as session:
            found = artifacts.to_look_at(session, written_before=before, limit=BATCH)
        changed = [c for c in found if is_changed(c, self.objects.stat(c.object_key))]
        same = [c.track_id for c in found if c not in changed]
        if same:
            with self.database.write() as session:
                artifacts.note_look(session, same, self.clock())
        for committed in changed:
            self._void(committed)

    def _void(self, committed: Committed) -> None:
        now = self.clock()
        with self.database.write() as session:
            if artifacts.void(session, committed, now):
                jobs.go_on(session, committed.track_id, now)
                Rulings.strike(session, committed.worker_id, 1, now)
        self.objects.remove([committed.object_key])


def is_changed(committed: Committed, found: ObjectStat | None) -> bool:
    """Whether an object is not what was committed; one that is gone is."""
    if found is None or found.size != committed.size:
        return True
    if committed.etag:
        return found.etag != committed.etag
    return found.md5_hex not in (None, committed.md5)
