"""Broker user sync: keeps the broker's users in line with the workers, since a broker that restarted
empty has lost all users."""

from collections.abc import Callable

import structlog
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import TimeoutError as TooSlow

from trackfarm_scheduler.broker.users import BrokerUsers
from trackfarm_scheduler.db import registration
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.policy.broker_acl import user_changes, worker_of

log = structlog.get_logger(__name__)
FORGET_SECONDS = 3600.0  # how long to keep the user of a lost worker, which may only be cut off


class BrokerUserSync:
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
            present = self._users.list_names()
        except (Unreachable, TooSlow, OSError):
            return
        lost_before = self._clock() - FORGET_SECONDS
        worker_ids = {worker for name in present if (worker := worker_of(name)) is not None}
        with self._database.read() as session:
            wanted = registration.list_broker_users(session, lost_before=lost_before)
            ended = registration.select_joined(session, worker_ids - set(wanted))
        changes = user_changes(present, wanted, ended)
        if changes.missing and self._users.create(changes.missing):
            log.info("broker_users_created", workers=len(changes.missing))
        if changes.surplus and self._users.delete(changes.surplus):
            log.info("broker_users_deleted", workers=len(changes.surplus))
