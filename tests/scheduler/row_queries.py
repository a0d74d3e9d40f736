"""Queries of tests on a scheduler's rows."""

from collections import Counter
from typing import TypeVar

from sqlalchemy import func, select
from sqlmodel import SQLModel, col

from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import ArtifactRow, AttemptRow, JobTrackRow, TrackRow
from trackfarm_scheduler.db.tables_history import EventRow

R = TypeVar("R", bound=SQLModel)


class RowQueries:
    """Read access for tests. Each call is one read transaction; the returned rows are detached from
    their session."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def rows(self, table: type[R], *where: object) -> list[R]:
        with self.database.read() as session:
            result = list(session.scalars(select(table).where(*where)))  # type: ignore[arg-type]
            session.expunge_all()
            return result

    def count(self, table: type[SQLModel], *where: object) -> int:
        with self.database.read() as session:
            statement = select(func.count()).select_from(table).where(*where)  # type: ignore[arg-type]
            return session.scalar(statement) or 0

    def track_ids(self, job_id: str) -> list[int]:
        """Return the tracks of a job in the catalog's order, whichever job makes them."""
        links = self.rows(JobTrackRow, col(JobTrackRow.job_id) == job_id)
        return [link.track_id for link in sorted(links, key=lambda link: link.ordinal)]

    def owned_tracks(self, job_id: str, state: TrackState) -> list[int]:
        tracks = self.rows(TrackRow, col(TrackRow.job_id) == job_id, col(TrackRow.state) == state)
        return sorted(t.id for t in tracks if t.id is not None)

    def track(self, track_id: int) -> TrackRow:
        return self.rows(TrackRow, col(TrackRow.id) == track_id)[0]

    def states(self, job_id: str) -> dict[str, int]:
        wanted = self.track_ids(job_id)
        return dict(Counter(t.state for t in self.rows(TrackRow) if t.id in wanted))

    def artifacts(self) -> list[ArtifactRow]:
        return self.rows(ArtifactRow)

    def attempts(self, offer: ShardOffer) -> list[AttemptRow]:
        attempts = self.rows(AttemptRow, col(AttemptRow.lease_id) == offer.lease_id)
        return sorted(attempts, key=lambda a: a.track_id)

    def attempt(self, offer: ShardOffer, track_id: int) -> AttemptRow:
        return next(a for a in self.attempts(offer) if a.track_id == track_id)

    def events(self, kind: str) -> list[EventRow]:
        """Return the events with this prefix of their kind, oldest first."""
        events = self.rows(EventRow, col(EventRow.kind).startswith(kind))
        return sorted(events, key=lambda e: e.id or 0)
