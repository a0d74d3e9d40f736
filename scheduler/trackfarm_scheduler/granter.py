"""Keeps the broker's users equal to the workers: a broker that restarted has forgotten them all."""

from collections.abc import Callable

import structlog
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import TimeoutError as TooSlow

from trackfarm_scheduler.broker_users import BrokerUsers
from trackfarm_scheduler.leadership import Leadership
from trackfarm_scheduler.rights import differences, worker_of
from trackfarm_scheduler.store import members
from trackfarm_scheduler.store.database import Database

log = structlog.get_logger(__name__)
FORGET_SECONDS = 3600.0  # a lost worker's user is kept as long, in case it only was cut off


class Granter:
    """One tick compares all users with all workers. Only a leader acts; what two do at once is the
    same."""

    def __init__(
        self,
        *,
        database: Database,
        users: BrokerUsers,
        leadership: Leadership,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._users = users
        self._leadership = leadership
        self._clock = clock

    def tick(self) -> None:
        if not self._leadership.leads:
            return
        try:
            # Before the database: whoever joins in between is in both or in the database alone.
            present = self._users.names()
        except (Unreachable, TooSlow, OSError):
            return
        lost_before = self._clock() - FORGET_SECONDS
        known = {worker for name in present if (worker := worker_of(name)) is not None}
        with self._database.read() as session:
            wanted = members.with_users(session, lost_before=lost_before)
            ended = members.ours(session, known - set(wanted))
        found = differences(present, wanted, ended)
        if found.missing and self._users.grant(found.missing):
            log.info("broker_users_made", workers=len(found.missing))
        if found.surplus and self._users.withdraw(found.surplus):
            log.info("broker_users_ended", workers=len(found.surplus))
