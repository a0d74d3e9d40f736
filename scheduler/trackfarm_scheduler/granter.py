"""Sync of broker users with workers: a broker that restarted empty has lost all users."""

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
FORGET_SECONDS = 3600.0  # how long to keep the user of a lost worker, which may only be cut off


class Granter:
    """Broker user sync. One tick compares all users with all workers. Only a leader acts, and the
    actions are idempotent if two schedulers run them."""

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
            # Read before the database: a worker that joins in between is never seen as surplus.
            present = self._users.names()
        except (Unreachable, TooSlow, OSError):
            return
        lost_before = self._clock() - FORGET_SECONDS
        worker_ids = {worker for name in present if (worker := worker_of(name)) is not None}
        with self._database.read() as session:
            wanted = members.with_users(session, lost_before=lost_before)
            ended = members.ours(session, worker_ids - set(wanted))
        changes = differences(present, wanted, ended)
        if changes.missing and self._users.grant(changes.missing):
            log.info("broker_users_created", workers=len(changes.missing))
        if changes.surplus and self._users.withdraw(changes.surplus):
            log.info("broker_users_deleted", workers=len(changes.surplus))
