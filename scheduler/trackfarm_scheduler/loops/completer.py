"""Job completer: ends jobs with no work left, and stops jobs over their budget."""

from collections.abc import Callable

from trackfarm_scheduler.db import jobs, placement_view
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.loops.leader import Leadership, NotLeading
from trackfarm_scheduler.policy.states import MOVING


class JobCompleter:
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
            limited = jobs.in_state(session, MOVING, with_budget=True)
            over_budget = {
                j.id: j for j in limited if placement_view.is_over_budget(session, j, self._clock())
            }
            completable = over_budget | {job.id: job for job in jobs.ripe(session)}
        for job in completable.values():
            try:
                with self._database.write() as session:
                    self._leadership.require(session)
                    jobs.settle(session, job, self._clock(), is_broke=job.id in over_budget)
            except NotLeading:
                return
