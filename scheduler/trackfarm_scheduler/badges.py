"""Cache of worker tokens: every request looks one up, so each is remembered for a minute."""

import threading
import time

from trackfarm_scheduler.store import workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.tables import Worker

REMEMBERED_SECONDS = 60.0
MOST = 10_000


class Badges:
    """Thread-safe cache from token to worker row. The identity in a row (queue, model set, price)
    is fixed; state, speed and strikes are stale here and must not be used for decisions. A worker
    that left through another scheduler stays cached until its entry expires, and then finds that it
    holds no leases."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, Worker]] = {}

    def remembered(self, token: str) -> Worker | None:
        """Return the worker of a recently looked-up token without a database query."""
        entry = self._seen.get(token)
        if entry is None or entry[0] < time.monotonic():
            return None
        return entry[1]

    def has_met(self, token: str) -> bool:
        """Return whether a token was valid recently, so that another lookup is worthwhile."""
        return token in self._seen

    def look_up(self, token: str) -> Worker | None:
        """Return the worker of a token; None for an unknown token or a worker that has left."""
        with self._database.read() as session:
            worker = workers.by_token(session, token)
        if worker is not None:
            self._remember(token, worker)
        else:
            self._drop(token)
        return worker

    def forget(self, worker_id: str) -> None:
        """Invalidate a worker's token."""
        with self._lock:
            self._seen = {t: s for t, s in self._seen.items() if s[1].id != worker_id}

    def _drop(self, token: str) -> None:
        with self._lock:
            self._seen.pop(token, None)

    def _remember(self, token: str, worker: Worker) -> None:
        with self._lock:
            if len(self._seen) >= MOST:
                self._seen = {}
            self._seen[token] = (time.monotonic() + REMEMBERED_SECONDS, worker)
