"""A pool of processes that turn spooled samples into finished files.

Codecs run outside the worker's main process because they burn a core for a second per track, and
because one that crashes (libsndfile has) must not take the worker along.
"""

import base64
import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np

from trackfarm.catalog.music import AudioFormat
from trackfarm_worker.sound_files import write

NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """A file of `size` bytes with its digests; `seconds` is what encoding took."""

    path: Path
    size: int
    md5: str
    sha256: str
    seconds: float

    @property
    def content_md5(self) -> str:
        """The MD5 as the Content-MD5 header of an upload wants it: base64."""
        return base64.b64encode(bytes.fromhex(self.md5)).decode()


@dataclass(frozen=True, slots=True)
class EncodeFailed:
    message: str


_Job = tuple[Path, Path, AudioFormat, int, dict[str, str]]


class EncoderPool:
    """Thread-safe. Its processes end with the process that owns them, however that ends."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._closed = False
        self._executor = self._started()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def encode(
        self,
        pcm: Path,
        out: Path,
        audio_format: AudioFormat,
        *,
        sample_rate: int = 48_000,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> EncodedFile | EncodeFailed:
        """Encodes int16 `.npy` samples (frames, 2) from `pcm` to `out`; waits for the result.

        A codec that crashes its process gets a new pool and one more chance. `out` exists only
        when the result is an EncodedFile.
        """
        job = pcm, out, audio_format, sample_rate, dict(tags)
        ending = self._tried(job) or self._tried(job)
        return ending or EncodeFailed(f"the {audio_format} codec crashed")

    def close(self) -> None:
        """Waits for what is being encoded, then ends the processes. Idempotent."""
        with self._lock:
            self._closed = True
            self._executor.shutdown()

    def _tried(self, job: _Job) -> EncodedFile | EncodeFailed | None:
        """None when the codec took its process along."""
        executor = self._current()
        try:
            return executor.submit(_encode, *job).result()
        except BrokenProcessPool:
            _partial(job[1]).unlink(missing_ok=True)
            self._replace(executor)
            return None
        except Exception as error:  # noqa: BLE001 - whatever a codec raises ends here
            return EncodeFailed(f"{type(error).__name__}: {error}")

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_end_with_parent,
        )

    def _current(self) -> ProcessPoolExecutor:
        with self._lock:
            return self._executor

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        """Only the first of those who met the broken pool replaces it."""
        with self._lock:
            if self._executor is broken and not self._closed:
                broken.shutdown(wait=False)
                self._executor = self._started()


def _end_with_parent() -> None:
    """Ends this process when its parent is gone: a killed worker leaves no encoders behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "encoders run in child processes only"

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def _encode(
    pcm: Path, out: Path, audio_format: AudioFormat, sample_rate: int, tags: dict[str, str]
) -> EncodedFile:
    began = time.perf_counter()
    samples = np.load(pcm, allow_pickle=False, mmap_mode="r")
    partial = _partial(out)
    try:
        write(partial, samples, sample_rate, audio_format, tags)
        md5, sha256 = _digests(partial)
        size = partial.stat().st_size
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return EncodedFile(out, size, md5, sha256, time.perf_counter() - began)


def _partial(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def _digests(path: Path) -> tuple[str, str]:
    # MD5 because object stores check it on upload; SHA-256 says what the file is.
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            md5.update(chunk)
            sha256.update(chunk)
    return md5.hexdigest(), sha256.hexdigest()
