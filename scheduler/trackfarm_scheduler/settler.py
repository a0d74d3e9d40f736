"""Ends jobs that have nothing left to wait for, and stops those whose budget is spent."""

from collections.abc import Callable

from trackfarm_scheduler.leadership import Leadership, NotLeading
from trackfarm_scheduler.placer import MOVING
from trackfarm_scheduler.store import jobs, outlook
from trackfarm_scheduler.store.database import Database


class Settler:
    def __init__(
        self, *, database: Database, leadership: Leadership, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._leadership = leadership
        self._clock = clock

    def tick(self) -> None:
        if not self._leadership.leads:
            return
        with self._database.read() as session:
            moving = jobs.in_state(session, MOVING)
            broke = {job.id for job in moving if outlook.is_broke(session, job, self._clock())}
            ripe = [j for j in moving if j.id in broke or jobs.is_ripe(session, j)]
        for job in ripe:
            try:
                with self._database.write() as session:
                    self._leadership.require(session)
                    jobs.settle(session, job, self._clock(), is_broke=job.id in broke)
            except NotLeading:
                return
