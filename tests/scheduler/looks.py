"""Queries of tests on a scheduler's rows."""

from collections import Counter
from typing import TypeVar

from sqlalchemy import func, select
from sqlmodel import SQLModel, col

from trackfarm.api import TrackState
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.offers import Offer
from trackfarm_scheduler.store.tables import (
    Artifact,
    Attempt,
    Event,
    JobTrack,
    Track,
)

R = TypeVar("R", bound=SQLModel)


class Looks:
    """Read access for tests. Each call is one read transaction; the returned rows are detached from
    their session."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def rows(self, table: type[R], *where: object) -> list[R]:
        with self.database.read() as session:
            result = list(session.scalars(select(table).where(*where)))  # type: ignore[arg-type]
            session.expunge_all()
            return result

    def number(self, table: type[SQLModel], *where: object) -> int:
        with self.database.read() as session:
            statement = select(func.count()).select_from(table).where(*where)  # type: ignore[arg-type]
            return session.scalar(statement) or 0

    def ids(self, job_id: str) -> list[int]:
        """Return the tracks of a job in the catalog's order, whichever job makes them."""
        links = self.rows(JobTrack, col(JobTrack.job_id) == job_id)
        return [link.track_id for link in sorted(links, key=lambda link: link.ordinal)]

    def made_by(self, job_id: str, state: TrackState) -> list[int]:
        tracks = self.rows(Track, col(Track.job_id) == job_id, col(Track.state) == state)
        return sorted(t.id for t in tracks if t.id is not None)

    def track(self, track_id: int) -> Track:
        return self.rows(Track, col(Track.id) == track_id)[0]

    def states(self, job_id: str) -> dict[str, int]:
        wanted = self.ids(job_id)
        return dict(Counter(t.state for t in self.rows(Track) if t.id in wanted))

    def artifacts(self) -> list[Artifact]:
        return self.rows(Artifact)

    def attempts(self, offer: Offer) -> list[Attempt]:
        attempts = self.rows(Attempt, col(Attempt.lease_id) == offer.lease_id)
        return sorted(attempts, key=lambda a: a.track_id)

    def attempt(self, offer: Offer, track_id: int) -> Attempt:
        return next(a for a in self.attempts(offer) if a.track_id == track_id)

    def events(self, kind: str) -> list[Event]:
        """Return the events with this prefix of their kind, oldest first."""
        events = self.rows(Event, col(Event.kind).startswith(kind))
        return sorted(events, key=lambda e: e.id or 0)
