"""One file from a signed URL to disk: whole and with the right digest, or not at all."""

import hashlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Self

import httpx
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from trackfarm.api import Artifact

CHUNK_BYTES = 256 * 1024
ATTEMPTS = 4


class DownloadFailed(Exception):
    """This try did not give the file; the message says why."""


class Downloader:
    """A pool of connections for signed URLs, which never carry the API key."""

    def __init__(
        self, *, parallel: int, timeout: float = 60.0, verify: ssl.SSLContext | bool = True
    ) -> None:
        limits = httpx.Limits(max_connections=parallel)
        self._http = httpx.Client(
            timeout=timeout, limits=limits, follow_redirects=True, verify=verify
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def fetch(self, url_of_try: Callable[[int], str], artifact: Artifact, path: Path) -> None:
        """Stores the artifact at `path`, which appears in one step.

        `url_of_try` gives the URL for each try (from 0), so that an expired one can be renewed.

        Raises:
            DownloadFailed: after four tries.
            OSError: the disk does not take it.
        """
        for attempt in Retrying(
            retry=retry_if_exception_type(DownloadFailed),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=0.1, max=2.0) + wait_random(0, 0.1),
            reraise=True,
        ):
            with attempt:
                self._fetch_once(url_of_try(attempt.retry_state.attempt_number - 1), artifact, path)

    def _fetch_once(self, url: str, artifact: Artifact, path: Path) -> None:
        draft = path.with_name(f".{path.name}.part")
        try:
            digest = self._stream(url, draft)
            if digest != artifact.sha256:
                raise DownloadFailed(f"SHA-256 is {digest}, not {artifact.sha256}")
            draft.replace(path)
        except httpx.HTTPError as error:
            raise DownloadFailed(str(error) or type(error).__name__) from error
        finally:
            draft.unlink(missing_ok=True)

    def _stream(self, url: str, draft: Path) -> str:
        digest = hashlib.sha256()
        with self._http.stream("GET", url) as response, draft.open("wb") as file:
            if not response.is_success:
                raise DownloadFailed(f"the object store answered {response.status_code}")
            for chunk in response.iter_bytes(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()


def is_stored(path: Path, artifact: Artifact) -> bool:
    """Whether the very file is at `path` already."""
    try:
        if path.stat().st_size != artifact.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256
    except FileNotFoundError:
        return False
