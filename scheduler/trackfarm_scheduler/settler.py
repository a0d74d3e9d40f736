"""Ends jobs that have nothing left to wait for."""

from collections.abc import Callable

from sqlmodel import Session

from trackfarm.api import JobState
from trackfarm_scheduler.store import jobs
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.tables import Job


class Settler:
    def __init__(self, *, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def tick(self) -> None:
        with self._database.read() as session:
            ripe = [job for job in self._moving(session) if jobs.is_ripe(session, job)]
        for job in ripe:
            with self._database.write() as session:
                jobs.settle(session, job, self._clock())

    def _moving(self, session: Session) -> list[Job]:
        return jobs.in_state(session, [JobState.ACCEPTED, JobState.RUNNING])
