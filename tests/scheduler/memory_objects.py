"""Object store in a dictionary."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trackfarm_scheduler.objects.base import ObjectMissing, ObjectStat, SignedUrl
from trackfarm_scheduler.objects.keys import checked_key

NEVER = datetime(2100, 1, 1, tzinfo=UTC)


class MemoryObjects:
    """Object store in memory; `content` maps keys to bytes."""

    def __init__(self, *, writes_once: bool = True) -> None:
        self.content: dict[str, bytes] = {}
        self.writes_once = writes_once

    def presign_put(self, key: str, *, expires: timedelta, once: bool = False) -> SignedUrl:
        return SignedUrl(f"memory://put/{checked_key(key)}", NEVER, {"x-kept": "1"})

    def presign_get(
        self, key: str, *, expires: timedelta, filename: str | None = None
    ) -> SignedUrl:
        return SignedUrl(f"memory://get/{checked_key(key)}", NEVER)

    def stat(self, key: str) -> ObjectStat | None:
        body = self.content.get(checked_key(key))
        if body is None:
            return None
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return ObjectStat(key, len(body), md5, md5, NEVER)

    @contextmanager
    def open(self, key: str) -> Iterator[Iterator[bytes]]:
        if key not in self.content:
            raise ObjectMissing(key)
        yield iter([self.content[key]])

    def put(self, key: str, file: Path) -> None:
        self.content[checked_key(key)] = file.read_bytes()

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.content.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        stats = (self.stat(key) for key in sorted(self.content) if key.startswith(prefix))
        return (stat for stat in stats if stat)

    def check(self) -> None:
        """Do nothing."""
