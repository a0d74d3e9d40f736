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
class Mismatch:
    """Reason to refuse a result. `is_false_claim`: only the worker can have caused it."""

    reason: str
    is_false_claim: bool = True


@dataclass(frozen=True, slots=True)
class ObjectCheck:
    """Result of checking one object: its ETag, or a mismatch with the report."""

    etag: str = ""
    mismatch: Mismatch | None = None


UNCHECKED = ObjectCheck(mismatch=Mismatch("the object was not checked", is_false_claim=False))
_MISSING = Mismatch("no such object", is_false_claim=False)


class ObjectChecker:
    """Checker of reported objects. `chance()` is uniform in [0, 1). Thread-safe."""

    def __init__(
        self, objects: ObjectStore, bounds: PlausibleBounds, chance: Callable[[], float]
    ) -> None:
        self._objects = objects
        self._bounds = bounds
        self._chance = chance
        self._trusted: set[str] = set()

    def check(self, worker_id: str, done: TrackDone) -> ObjectCheck:
        """Compare the stored object with the report."""
        stat = self._objects.stat(done.object_key)
        if stat is None:
            return ObjectCheck(mismatch=_MISSING)
        if stat.size > self._bounds.most_bytes:
            return ObjectCheck(mismatch=Mismatch(f"the object is too large: {stat.size} bytes"))
        if stat.size != done.size:
            reason = f"the object has {stat.size} bytes, the report says {done.size}"
            return ObjectCheck(mismatch=Mismatch(reason))
        if stat.md5_hex is not None and stat.md5_hex != done.md5:
            reason = "the object's MD5 differs from the reported one"
            return ObjectCheck(mismatch=Mismatch(reason))
        return ObjectCheck(stat.etag, self._digest_mismatch(worker_id, done))

    def delete_refused(self, keys: Collection[str]) -> None:
        """Delete refused objects. The orphan cleaner deletes later any that cannot be deleted
        now."""
        if not keys:
            return
        try:
            self._objects.remove(keys)
        except ObjectStoreError as error:
            log.warning("refused_objects_delete_failed", objects=len(keys), error=str(error))

    def _digest_mismatch(self, worker_id: str, done: TrackDone) -> Mismatch | None:
        """Check the SHA-256 of the first object of every worker, and of a random share of the
        others."""
        if worker_id in self._trusted and self._chance() >= self._bounds.digest_share:
            return None
        mismatch = self._compare_digest(done)
        if mismatch is None:
            self._trusted.add(worker_id)
        return mismatch

    def _compare_digest(self, done: TrackDone) -> Mismatch | None:
        sha256 = hashlib.sha256()
        try:
            with self._objects.open(done.object_key) as chunks:
                for chunk in chunks:
                    sha256.update(chunk)
        except ObjectMissing:
            return _MISSING
        if sha256.hexdigest() != done.sha256:
            return Mismatch("the object's SHA-256 differs from the reported one")
        return None
