"""Looks at the objects that workers say they have stored, and removes those that are refused."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from trackfarm.wire import TrackDone
from trackfarm_scheduler.objects.port import ObjectMissing, ObjectStore, ObjectStoreError
from trackfarm_scheduler.plausible import Bounds

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a result is refused. `is_false`: only the worker can have made it so."""

    reason: str
    is_false: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """One object as it was when it was looked at."""

    etag: str = ""
    flaw: Flaw | None = None


NOT_SEEN = Seen(flaw=Flaw("the object was not looked at", is_false=False))


class Inspector:
    """`chance()` is uniform in [0, 1). Thread-safe."""

    def __init__(self, objects: ObjectStore, bounds: Bounds, chance: Callable[[], float]) -> None:
        self._objects = objects
        self._bounds = bounds
        self._chance = chance
        self._trusted: set[str] = set()

    def look(self, worker_id: str, done: TrackDone) -> Seen:
        """What is stored under the key of a result, and what is wrong with it."""
        found = self._objects.stat(done.object_key)
        if found is None:
            return Seen(flaw=Flaw("no such object", is_false=False))
        if found.size > self._bounds.most_bytes:
            return Seen(flaw=Flaw(f"the object has {found.size} bytes, too many"))
        if found.size != done.size:
            wrong = f"the object has {found.size} bytes, the report says {done.size}"
            return Seen(flaw=Flaw(wrong))
        if found.md5_hex is not None and found.md5_hex != done.md5:
            return Seen(flaw=Flaw("the object's MD5 is not the reported one"))
        return Seen(found.etag, self._digest_flaw(worker_id, done))

    def discard(self, keys: Collection[str]) -> None:
        """Removes what was refused. What cannot be removed now, the sweeper finds later."""
        if not keys:
            return
        try:
            self._objects.remove(keys)
        except ObjectStoreError as error:
            log.warning("refused_objects_stay", objects=len(keys), error=str(error))

    def _digest_flaw(self, worker_id: str, done: TrackDone) -> Flaw | None:
        """The first object of every worker is read whole, of the others a share."""
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
            return Flaw("the object's SHA-256 is not the reported one")
        return None
