"""Objects as files in one folder; the scheduler itself serves their signed URLs."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

from trackfarm_scheduler.objects import directory_urls
from trackfarm_scheduler.objects.base import (
    CHUNK_BYTES,
    ObjectMissing,
    ObjectStat,
    ObjectStoreError,
    SignedUrl,
)
from trackfarm_scheduler.objects.directory_urls import whole_seconds
from trackfarm_scheduler.objects.directory_write import Incoming, digest_of
from trackfarm_scheduler.objects.keys import checked_key

DEFAULT_MAX_BYTES = 512 * 2**20  # 600 s of stereo WAV, 48 kHz, 32 bit, twice over
ABANDONED_AFTER_S = 24 * 3600

_NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class DirectoryStore:
    """An `ObjectStore` in a local folder, for one scheduler.

    Under `root`: `objects/` holds the files under their keys, ready to be played and copied;
    `digests/` their MD5s; `incoming/` uploads in progress. Unlike S3, a key cannot also be a folder
    of other keys.

    Args:
        root: the folder; `check` creates it.
        base_url: URL of the scheduler for workers, such as `http://10.0.0.5:8000`.
        secret: signs the URLs; at least 16 bytes. Changing it invalidates all issued URLs.
        max_bytes: a larger PUT is refused.
        now: the clock, in seconds since 1970.

    Raises:
        ValueError: the secret is too short.
    """

    def __init__(
        self,
        root: Path,
        *,
        base_url: str,
        secret: bytes,
        max_bytes: int = DEFAULT_MAX_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        if len(secret) < directory_urls.MIN_SECRET_BYTES:
            raise ValueError(
                f"the signing secret needs at least {directory_urls.MIN_SECRET_BYTES} bytes"
            )
        self.root = root
        self.max_bytes = max_bytes
        self.base_url = base_url.rstrip("/")
        self._secret = secret
        self._now = now

    @property
    def writes_once(self) -> bool:
        return True

    def presign_put(self, key: str, *, expires: timedelta, once: bool = False) -> SignedUrl:
        return self._signed(directory_urls.put_right(once=once), key, expires, "")

    def presign_get(
        self, key: str, *, expires: timedelta, filename: str | None = None
    ) -> SignedUrl:
        return self._signed("GET", key, expires, filename or "")

    def check_signature(
        self, method: str, key: str, *, expires: str, signature: str, filename: str = ""
    ) -> directory_urls.SignatureCheck:
        """Return whether a request's signature is valid now."""
        return directory_urls.check_signature(
            self._secret,
            method,
            key,
            expires=expires,
            signature=signature,
            filename=filename,
            now=self._now(),
        )

    def stat(self, key: str) -> ObjectStat | None:
        path = self.path(key)
        with _translated(f"look at {key}"):
            try:
                stat = path.stat()
                md5_hex = digest_of(path, self._digest_path(key), stat)
            except _NO_FILE:
                return None
        modified_at = datetime.fromtimestamp(stat.st_mtime, UTC)
        return ObjectStat(
            key=key, size=stat.st_size, etag=md5_hex, md5_hex=md5_hex, modified_at=modified_at
        )

    @contextmanager
    def open(self, key: str) -> Iterator[Iterator[bytes]]:
        with _translated(f"read {key}"):
            try:
                file = self.path(key).open("rb")
            except _NO_FILE as error:
                raise ObjectMissing(key) from error
        with file:
            yield iter(lambda: file.read(CHUNK_BYTES), b"")

    def put(self, key: str, file: Path) -> None:
        with _translated(f"write {key}"), file.open("rb") as source, self.receive(key) as incoming:
            while chunk := source.read(CHUNK_BYTES):
                incoming.write(chunk)
            incoming.finish()

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            with _translated(f"remove {key}"):
                _remove(self.path(key), self._objects)
                _remove(self._digest_path(key), self._digests)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        parents = prefix.split("/")[:-1]
        if not {"", ".", ".."}.isdisjoint(parents):
            return  # no key has such parts, and the path would leave the folder
        for path in _files(self._objects.joinpath(*parents)):
            key = path.relative_to(self._objects).as_posix()
            if key.startswith(prefix) and (stat := self.stat(key)):
                yield stat

    def check(self) -> None:
        with _translated(f"write objects below {self.root} (TRACKFARM_SCHEDULER_OBJECTS_URL)"):
            for folder in (self._objects, self._digests, self._incoming):
                folder.mkdir(parents=True, exist_ok=True)
            self._sweep_incoming()
            with self.receive("check") as probe:
                probe.write(b"trackfarm")

    def path(self, key: str) -> Path:
        """Return the path of an object, existing or not; raises `UnsafeKey`."""
        return self._objects / checked_key(key)

    def receive(self, key: str) -> Incoming:
        """Begin an object; it appears only when `finish` is called."""
        return Incoming(
            folder=self._incoming, target=self.path(key), digest_target=self._digest_path(key)
        )

    @property
    def _objects(self) -> Path:
        return self.root / "objects"

    @property
    def _digests(self) -> Path:
        return self.root / "digests"

    @property
    def _incoming(self) -> Path:
        return self.root / "incoming"

    def _digest_path(self, key: str) -> Path:
        return self._digests / checked_key(key)

    def _signed(self, method: str, key: str, expires: timedelta, filename: str) -> SignedUrl:
        if not filename.isprintable():
            raise ValueError(f"file name contains a non-printable character: {filename!r}")
        until = int(self._now()) + whole_seconds(expires)
        signed = directory_urls.sign(self._secret, method, checked_key(key), until, filename)
        query = {"expires": str(until), "signature": signed}
        if filename:
            query["filename"] = filename
        if method == directory_urls.put_right(once=True):
            query["once"] = "1"
        url = f"{self.base_url}/objects/{quote(key)}?{urlencode(query)}"
        return SignedUrl(url=url, expires_at=datetime.fromtimestamp(until, UTC))

    def _sweep_incoming(self) -> None:
        """Delete partial uploads left by a killed scheduler."""
        for path in _files(self._incoming):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < self._now() - ABANDONED_AFTER_S:
                    path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    # os.walk ignores folders that are missing or vanish meanwhile, as needed here.
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name)


def _remove(path: Path, root: Path) -> None:
    """Delete a file and the folders it leaves empty, up to but without the root."""
    with suppress(*_NO_FILE):
        path.unlink()
    for folder in path.parents:
        if folder == root:
            return
        try:
            folder.rmdir()
        except OSError:
            return


@contextmanager
def _translated(action: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ObjectStoreError(f"cannot {action}: {error}") from error
