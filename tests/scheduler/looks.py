"""What tests see of a scheduler's rows."""

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
    """Each call is one look at the database; what it returns belongs to no session any more."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def rows(self, table: type[R], *where: object) -> list[R]:
        with self.database.read() as session:
            found = list(session.scalars(select(table).where(*where)))  # type: ignore[arg-type]
            session.expunge_all()
            return found

    def number(self, table: type[SQLModel], *where: object) -> int:
        with self.database.read() as session:
            statement = select(func.count()).select_from(table).where(*where)  # type: ignore[arg-type]
            return session.scalar(statement) or 0

    def ids(self, job_id: str) -> list[int]:
        """The tracks of a job in the catalog's order, whoever makes them."""
        links = self.rows(JobTrack, col(JobTrack.job_id) == job_id)
        return [link.track_id for link in sorted(links, key=lambda link: link.ordinal)]

    def made_by(self, job_id: str, state: TrackState) -> list[int]:
        found = self.rows(Track, col(Track.job_id) == job_id, col(Track.state) == state)
        return sorted(t.id for t in found if t.id is not None)

    def track(self, track_id: int) -> Track:
        return self.rows(Track, col(Track.id) == track_id)[0]

    def states(self, job_id: str) -> dict[str, int]:
        wanted = self.ids(job_id)
        return dict(Counter(t.state for t in self.rows(Track) if t.id in wanted))

    def artifacts(self) -> list[Artifact]:
        return self.rows(Artifact)

    def attempts(self, offer: Offer) -> list[Attempt]:
        found = self.rows(Attempt, col(Attempt.lease_id) == offer.lease_id)
        return sorted(found, key=lambda a: a.track_id)

    def attempt(self, offer: Offer, track_id: int) -> Attempt:
        return next(a for a in self.attempts(offer) if a.track_id == track_id)

    def events(self, kind: str) -> list[Event]:
        """Those whose kind begins so, oldest first."""
        found = self.rows(Event, col(Event.kind).startswith(kind))
        return sorted(found, key=lambda e: e.id or 0)
