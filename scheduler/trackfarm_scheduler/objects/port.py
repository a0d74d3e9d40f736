"""What the scheduler needs of an object store, whichever one it is."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 256 * 1024


class ObjectStoreError(Exception):
    """The store could not be reached, refused us, or answered nonsense."""


class ObjectMissing(ObjectStoreError):
    """No object has the key that was to be opened."""


@dataclass(frozen=True)
class SignedUrl:
    """The right to do one thing with one object until a time.

    Whoever uses the URL must send `headers` with the request.
    """

    url: str
    expires_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectStat:
    """What a store knows of an object without reading it.

    `etag` differs when the content does. `md5_hex` is None where the store keeps no MD5 of the
    content (S3 multipart uploads, buckets encrypted with KMS).
    """

    key: str
    size: int
    etag: str
    md5_hex: str | None
    modified_at: datetime


class ObjectStore(Protocol):
    """Objects under keys; workers see nothing of it but signed URLs.

    Methods are blocking and may be called from any thread. They raise `UnsafeKey` for a key that
    not every store can hold and `ObjectStoreError` when the store fails.
    """

    @property
    def writes_once(self) -> bool:
        """Whether a URL made with `once` really writes once: what is there is never replaced, not
        even by a PUT that began before. `check` finds it out."""
        ...

    def presign_put(self, key: str, *, expires: timedelta, once: bool = False) -> SignedUrl:
        """A URL that stores the body of a PUT as this object, replacing what was there; with
        `once`, such a PUT is answered 412 where there is something.

        Makes no request. `expires` is at least one second and at most seven days.
        """
        ...

    def presign_get(
        self, key: str, *, expires: timedelta, filename: str | None = None
    ) -> SignedUrl:
        """A URL that answers a GET, also of a range; with `filename` as a download of that name."""
        ...

    def stat(self, key: str) -> ObjectStat | None:
        """What is known of the object, or None when there is none."""
        ...

    def open(self, key: str) -> AbstractContextManager[Iterator[bytes]]:
        """The content in chunks of at most `CHUNK_BYTES`; raises `ObjectMissing` on entry."""
        ...

    def put(self, key: str, file: Path) -> None:
        """Stores the content of a file, replacing what was there."""
        ...

    def remove(self, keys: Iterable[str]) -> None:
        """Removes the objects; those that are already gone are no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """The objects whose keys begin with this text, in no promised order."""
        ...

    def check(self) -> None:
        """Creates what is missing (the bucket, the folder) and proves that the store works.

        Raises:
            ObjectStoreError: it does not; the message names the setting to look at.
        """
        ...
