"""Cache of credentials: every request looks one up, so that each is remembered for a while.

API keys are remembered for seconds and looked up by the SHA-256 of their secret, so that the time of
a comparison reveals nothing about them. Worker tokens are remembered for a minute. The identity in a
worker's row (queue, model set, price) is fixed; its state, speed and strikes are stale here and must
not be used for decisions. A worker that left through another scheduler stays cached until its entry
expires, and then finds that it holds no leases.
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Generic, TypeVar

from trackfarm_scheduler.db import api_keys, workers
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.tables import WorkerRow
from trackfarm_scheduler.policy.identity import ROOT_IDENTITY, Identity

KEY_SECONDS = 5.0  # how long a key revoked at another scheduler still works here
TOKEN_SECONDS = 60.0
MAX_ENTRIES = 10_000
T = TypeVar("T")


class CredentialCache(Generic[T]):
    """Thread-safe cache from credential to its holder. `find` asks the database (None: the
    credential is not valid), `id_of` returns the id to forget a holder by, `is_valid` tells whether
    a remembered holder still is, and `permanent` holds the credentials of no row."""

    def __init__(
        self,
        find: Callable[[str], T | None],
        *,
        id_of: Callable[[T], str],
        seconds: float,
        is_valid: Callable[[T], bool] = lambda _: True,
        permanent: Mapping[str, T] = MappingProxyType({}),
    ) -> None:
        self._find = find
        self._id_of = id_of
        self._seconds = seconds
        self._is_valid = is_valid
        self._permanent = permanent
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[float, T]] = {}
        self._revocations = 0

    def get(self, credential: str) -> T | None:
        """Return the holder of a recently looked-up credential without a database query."""
        if credential in self._permanent:
            return self._permanent[credential]
        entry = self._entries.get(credential)
        if entry is None or entry[0] < time.monotonic() or not self._is_valid(entry[1]):
            return None
        return entry[1]

    def was_valid(self, credential: str) -> bool:
        """Return whether a credential was valid recently, so that another lookup is worthwhile."""
        return credential in self._entries

    def look_up(self, credential: str) -> T | None:
        """Return the holder of a valid credential, None for any other; asks the database."""
        revocations = self._revocations
        holder = self._find(credential)
        with self._lock:
            if holder is None:
                self._entries.pop(credential, None)
            elif revocations == self._revocations:  # else it may have been revoked since
                if len(self._entries) >= MAX_ENTRIES:
                    self._entries = {}
                self._entries[credential] = time.monotonic() + self._seconds, holder
        return holder

    def forget(self, holder_id: str) -> None:
        """Invalidate the credentials of a holder."""
        with self._lock:
            self._revocations += 1
            self._entries = {
                credential: entry
                for credential, entry in self._entries.items()
                if self._id_of(entry[1]) != holder_id
            }


ApiKeyCache = CredentialCache[Identity]
TokenCache = CredentialCache[WorkerRow]


def api_key_cache(database: Database, root_key: str, clock: Callable[[], float]) -> ApiKeyCache:
    """Return a cache from the digests of API keys to their identities."""
    return CredentialCache(
        lambda digest: _find_key(database, digest, clock()),
        id_of=lambda identity: identity.key_id,
        seconds=KEY_SECONDS,
        is_valid=lambda identity: not identity.has_expired(clock()),
        permanent={digest_of(root_key): ROOT_IDENTITY},
    )


def token_cache(database: Database) -> TokenCache:
    """Return a cache from the tokens of workers that have not left to their rows."""
    return CredentialCache(
        partial(_find_worker, database), id_of=lambda worker: worker.id, seconds=TOKEN_SECONDS
    )


def _find_key(database: Database, digest: str, now: float) -> Identity | None:
    with database.read() as session:
        row = api_keys.find_usable(session, digest, now)
    if row is None:
        return None
    if row.last_used_at is None or row.last_used_at < now - api_keys.USE_SECONDS:
        with database.write() as session:
            api_keys.record_use(session, row.id, now)
    return api_keys.identity_of(row)


def _find_worker(database: Database, token: str) -> WorkerRow | None:
    with database.read() as session:
        return workers.find_by_token(session, token)
