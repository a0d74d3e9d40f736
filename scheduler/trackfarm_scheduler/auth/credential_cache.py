"""Cache of API keys: every request looks one up, so each is remembered for some seconds.

Cache of worker tokens: every request looks one up, so each is remembered for a minute.
"""

import secrets
import threading
import time
from collections.abc import Callable

from trackfarm_scheduler.db import api_keys, workers
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.tables import WorkerRow
from trackfarm_scheduler.policy.identity import ROOT_IDENTITY, Identity

KEY_SECONDS = 5.0  # how long a key revoked at another scheduler still works here
MOST = 10_000


class ApiKeyCache:
    """Thread-safe cache from key digest to identity. Keys are compared by their SHA-256, so the
    time of a comparison reveals nothing about them."""

    def __init__(self, database: Database, root_key: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._root = api_keys.digest_of(root_key)
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, Identity]] = {}
        self._revocations = 0

    def remembered(self, digest: str) -> Identity | None:
        """Return the identity of a recently looked-up key without a database query."""
        if secrets.compare_digest(digest, self._root):
            return ROOT_IDENTITY
        entry = self._seen.get(digest)
        if entry is None or entry[0] < time.monotonic() or entry[1].has_expired(self._clock()):
            return None
        return entry[1]

    def has_met(self, digest: str) -> bool:
        """Return whether a key was valid recently, so that another lookup is worthwhile."""
        return digest in self._seen

    def look_up(self, digest: str) -> Identity | None:
        """Return the identity of a usable key, None for any other."""
        revocations, now = self._revocations, self._clock()
        with self._database.read() as session:
            row = api_keys.usable(session, digest, now)
        if row is None:
            self._drop(digest)
            return None
        if row.last_used_at is None or row.last_used_at < now - api_keys.USE_SECONDS:
            with self._database.write() as session:
                api_keys.note_use(session, row.id, now)
        identity = api_keys.identity_of(row)
        self._remember(digest, identity, revocations)
        return identity

    def forget(self, key_id: str) -> None:
        """Invalidate a revoked key."""
        with self._lock:
            self._revocations += 1
            self._seen = {d: s for d, s in self._seen.items() if s[1].key_id != key_id}

    def _drop(self, digest: str) -> None:
        with self._lock:
            self._seen.pop(digest, None)

    def _remember(self, digest: str, identity: Identity, revocations: int) -> None:
        with self._lock:
            if revocations != self._revocations:
                return  # the key may have been revoked since it was read
            if len(self._seen) >= MOST:
                self._seen = {}
            self._seen[digest] = (time.monotonic() + KEY_SECONDS, identity)


TOKEN_SECONDS = 60.0


class TokenCache:
    """Thread-safe cache from token to worker row. The identity in a row (queue, model set, price)
    is fixed; state, speed and strikes are stale here and must not be used for decisions. A worker
    that left through another scheduler stays cached until its entry expires, and then finds that it
    holds no leases."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, WorkerRow]] = {}

    def remembered(self, token: str) -> WorkerRow | None:
        """Return the worker of a recently looked-up token without a database query."""
        entry = self._seen.get(token)
        if entry is None or entry[0] < time.monotonic():
            return None
        return entry[1]

    def has_met(self, token: str) -> bool:
        """Return whether a token was valid recently, so that another lookup is worthwhile."""
        return token in self._seen

    def look_up(self, token: str) -> WorkerRow | None:
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

    def _remember(self, token: str, worker: WorkerRow) -> None:
        with self._lock:
            if len(self._seen) >= MOST:
                self._seen = {}
            self._seen[token] = (time.monotonic() + TOKEN_SECONDS, worker)
