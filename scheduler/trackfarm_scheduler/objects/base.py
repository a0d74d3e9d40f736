"""Interface of object stores as the scheduler uses them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 256 * 1024


class ObjectStoreError(Exception):
    """The store was unreachable, refused the request, or sent an invalid response."""


class ObjectMissing(ObjectStoreError):
    """No object exists under the key to open."""


@dataclass(frozen=True)
class SignedUrl:
    """Permission for one operation on one object until a time.

    A request to the URL must carry `headers`.
    """

    url: str
    expires_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectStat:
    """Metadata of an object, known without reading it.

    `etag` changes with the content. `md5_hex` is None where the store keeps no MD5 of the content
    (S3 multipart uploads, buckets encrypted with KMS).
    """

    key: str
    size: int
    etag: str
    md5_hex: str | None
    modified_at: datetime


class ObjectStore(Protocol):
    """Objects under keys; workers get only signed URLs.

    Methods block and may be called from any thread. They raise `UnsafeKey` for a key that not every
    store can hold and `ObjectStoreError` when the store fails.
    """

    @property
    def writes_once(self) -> bool:
        """True if a URL made with `once` really writes once: an existing object is never replaced,
        not even by a PUT that began before. `check` determines it."""
        ...

    def presign_put(self, key: str, *, expires: timedelta, once: bool = False) -> SignedUrl:
        """Return a URL that stores the body of a PUT as this object, replacing an existing one;
        with `once`, a PUT to an existing object gets status 412.

        Makes no request. `expires` is at least one second and at most seven days.
        """
        ...

    def presign_get(
        self, key: str, *, expires: timedelta, filename: str | None = None
    ) -> SignedUrl:
        """Return a URL for GET requests, ranges included; with `filename` it is a download of that
        name."""
        ...

    def stat(self, key: str) -> ObjectStat | None:
        """Return the metadata of the object, or None when it does not exist."""
        ...

    def open(self, key: str) -> AbstractContextManager[Iterator[bytes]]:
        """Open the content in chunks of at most `CHUNK_BYTES`; raises `ObjectMissing` on entry."""
        ...

    def put(self, key: str, file: Path) -> None:
        """Store the content of a file, replacing an existing object."""
        ...

    def remove(self, keys: Iterable[str]) -> None:
        """Delete the objects; missing ones are not an error."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the objects with this key prefix, in no defined order."""
        ...

    def check(self) -> None:
        """Create the bucket or folder if missing, and verify that the store works.

        Raises:
            ObjectStoreError: it does not; the message names the setting to check.
        """
        ...
