"""Cache of API keys: every request looks one up, so each is remembered for some seconds."""

import secrets
import threading
import time
from collections.abc import Callable

from trackfarm_scheduler.access import ROOT_IDENTITY, Identity
from trackfarm_scheduler.store import keys
from trackfarm_scheduler.store.database import Database

REMEMBERED_SECONDS = 5.0  # how long a key revoked at another scheduler still works here
MOST = 10_000


class Keyring:
    """Thread-safe cache from key digest to identity. Keys are compared by their SHA-256, so the
    time of a comparison reveals nothing about them."""

    def __init__(self, database: Database, root_key: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._root = keys.digest_of(root_key)
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
            row = keys.usable(session, digest, now)
        if row is None:
            self._drop(digest)
            return None
        if row.last_used_at is None or row.last_used_at < now - keys.USE_SECONDS:
            with self._database.write() as session:
                keys.note_use(session, row.id, now)
        identity = keys.identity_of(row)
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
            self._seen[digest] = (time.monotonic() + REMEMBERED_SECONDS, identity)
