"""Object check: verifies objects that workers report as stored, and deletes refused ones."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from trackfarm.protocol.worker import TrackDone
from trackfarm_scheduler.objects.base import ObjectMissing, ObjectStore, ObjectStoreError
from trackfarm_scheduler.policy.validation import PlausibleBounds

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Reason to refuse a result. `is_false`: only the worker can have caused it."""

    reason: str
    is_false: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """State of one object when it was checked."""

    etag: str = ""
    flaw: Flaw | None = None


NOT_SEEN = Seen(flaw=Flaw("the object was not checked", is_false=False))


class Inspector:
    """Checker of reported objects. `chance()` is uniform in [0, 1). Thread-safe."""

    def __init__(
        self, objects: ObjectStore, bounds: PlausibleBounds, chance: Callable[[], float]
    ) -> None:
        self._objects = objects
        self._bounds = bounds
        self._chance = chance
        self._trusted: set[str] = set()

    def look(self, worker_id: str, done: TrackDone) -> Seen:
        """Compare the stored object with the report; returns its ETag and the flaw, if any."""
        stat = self._objects.stat(done.object_key)
        if stat is None:
            return Seen(flaw=Flaw("no such object", is_false=False))
        if stat.size > self._bounds.most_bytes:
            return Seen(flaw=Flaw(f"the object is too large: {stat.size} bytes"))
        if stat.size != done.size:
            reason = f"the object has {stat.size} bytes, the report says {done.size}"
            return Seen(flaw=Flaw(reason))
        if stat.md5_hex is not None and stat.md5_hex != done.md5:
            return Seen(flaw=Flaw("the object's MD5 differs from the reported one"))
        return Seen(stat.etag, self._digest_flaw(worker_id, done))

    def discard(self, keys: Collection[str]) -> None:
        """Delete refused objects. The orphan cleaner deletes later any that cannot be deleted
        now."""
        if not keys:
            return
        try:
            self._objects.remove(keys)
        except ObjectStoreError as error:
            log.warning("refused_objects_delete_failed", objects=len(keys), error=str(error))

    def _digest_flaw(self, worker_id: str, done: TrackDone) -> Flaw | None:
        """Check the SHA-256 of the first object of every worker, and of a random share of the
        others."""
        if worker_id in self._trusted and self._chance() >= self._bounds.digest_share:
            return None
        flaw = self._compared(done)
        if flaw is None:
            self._trusted.add(worker_id)
        return flaw

    def _compared(self, done: TrackDone) -> Flaw | None:
        sha256 = hashlib.sha256()
        try:
            with self._objects.open(done.object_key) as chunks:
                for chunk in chunks:
                    sha256.update(chunk)
        except ObjectMissing:
            return Flaw("no such object", is_false=False)
        if sha256.hexdigest() != done.sha256:
            return Flaw("the object's SHA-256 differs from the reported one")
        return None
