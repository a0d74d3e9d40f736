"""Who a worker's token belongs to, remembered for a minute: every request asks."""

import threading
import time

from trackfarm_scheduler.store import workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.tables import Worker

REMEMBERED_SECONDS = 60.0
MOST = 10_000


class Badges:
    """Thread-safe. What a worker's row says of its identity (queue, model set, price) is fixed; its
    state, speed and strikes are out of date here, so nobody may decide by them. One that left by
    another scheduler is known for a little longer, and finds that it holds nothing any more."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, Worker]] = {}

    def remembered(self, token: str) -> Worker | None:
        """The worker of a token that was looked up a moment ago; asks nobody."""
        found = self._seen.get(token)
        if found is None or found[0] < time.monotonic():
            return None
        return found[1]

    def has_met(self, token: str) -> bool:
        """Whether a token was good not long ago, so that to look it up again is worth it."""
        return token in self._seen

    def look_up(self, token: str) -> Worker | None:
        """The worker of a token, unless it has left."""
        with self._database.read() as session:
            worker = workers.by_token(session, token)
        if worker is not None:
            self._remember(token, worker)
        else:
            self._drop(token)
        return worker

    def forget(self, worker_id: str) -> None:
        """Its token is void from here on."""
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
