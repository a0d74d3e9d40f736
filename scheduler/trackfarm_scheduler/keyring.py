"""Whom a key belongs to, remembered for some seconds: every request asks."""

import secrets
import threading
import time
from collections.abc import Callable

from trackfarm_scheduler.access import ROOT_IDENTITY, Identity
from trackfarm_scheduler.store import keys
from trackfarm_scheduler.store.database import Database

REMEMBERED_SECONDS = 5.0  # as long is a key known here that another scheduler has revoked
MOST = 10_000


class Keyring:
    """Thread-safe. Secrets are compared by their SHA-256, so how long a comparison takes says
    nothing about them."""

    def __init__(self, database: Database, root_key: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._root = keys.digest_of(root_key)
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, Identity]] = {}
        self._revocations = 0

    def remembered(self, digest: str) -> Identity | None:
        """The identity of a key that was looked up a moment ago; asks nobody."""
        if secrets.compare_digest(digest, self._root):
            return ROOT_IDENTITY
        found = self._seen.get(digest)
        if found is None or found[0] < time.monotonic() or found[1].has_expired(self._clock()):
            return None
        return found[1]

    def has_met(self, digest: str) -> bool:
        """Whether a key was good not long ago, so that to look it up again is worth it."""
        return digest in self._seen

    def look_up(self, digest: str) -> Identity | None:
        """The identity of a key that can be used, None for any other."""
        before, now = self._revocations, self._clock()
        with self._database.read() as session:
            row = keys.usable(session, digest, now)
        if row is None:
            self._drop(digest)
            return None
        if row.last_used_at is None or row.last_used_at < now - keys.USE_SECONDS:
            with self._database.write() as session:
                keys.note_use(session, row.id, now)
        identity = keys.identity_of(row)
        self._remember(digest, identity, before)
        return identity

    def forget(self, key_id: str) -> None:
        """The key is void from here on."""
        with self._lock:
            self._revocations += 1
            self._seen = {d: s for d, s in self._seen.items() if s[1].key_id != key_id}

    def _drop(self, digest: str) -> None:
        with self._lock:
            self._seen.pop(digest, None)

    def _remember(self, digest: str, identity: Identity, revocations: int) -> None:
        with self._lock:
            if revocations != self._revocations:
                return  # what was read may have been revoked since
            if len(self._seen) >= MOST:
                self._seen = {}
            self._seen[digest] = (time.monotonic() + REMEMBERED_SECONDS, identity)
