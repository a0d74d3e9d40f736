"""A pool of processes that encode spooled samples into finished files.

Codecs run outside the worker's main process because they keep a core busy for a second per track,
and because a codec that crashes (libsndfile has) must not take the worker down with it.
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

from trackfarm.atomic_file import atomic_path, part_of
from trackfarm.catalog.vocabulary import AudioFormat
from trackfarm_worker.audio_files import write_audio_file

NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """A file of `size` bytes with its digests; `seconds` is the encoding time."""

    path: Path
    size: int
    md5: str
    sha256: str
    seconds: float

    @property
    def content_md5(self) -> str:
        """Return the MD5 in base64, as the Content-MD5 header of an upload needs it."""
        return base64.b64encode(bytes.fromhex(self.md5)).decode()


@dataclass(frozen=True, slots=True)
class EncodeFailed:
    message: str


_EncodeArguments = tuple[Path, Path, AudioFormat, int, dict[str, str]]


class EncoderPool:
    """Pool of encoder processes; thread-safe. They exit with the process that owns them, even if
    that is killed."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._closed = False
        self._executor = self._new_executor()

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
        """Encode int16 `.npy` samples (frames, 2) from `pcm` to `out`; block until the result.

        If a codec crashes its process, the pool is replaced and the file encoded once more. `out` exists
        only when the result is an EncodedFile.
        """
        arguments = pcm, out, audio_format, sample_rate, dict(tags)
        result = self._run_once(arguments) or self._run_once(arguments)
        return result or EncodeFailed(f"the {audio_format} codec crashed")

    def close(self) -> None:
        """Wait for running encoders, then end the processes. Idempotent."""
        with self._lock:
            self._closed = True
            self._executor.shutdown()

    def _run_once(self, arguments: _EncodeArguments) -> EncodedFile | EncodeFailed | None:
        """Encode once; None if the codec crashed its process."""
        executor = self._current_executor()
        try:
            return executor.submit(_encode, *arguments).result()
        except BrokenProcessPool:
            part_of(arguments[1]).unlink(missing_ok=True)
            self._replace(executor)
            return None
        except Exception as error:  # noqa: BLE001 - codecs raise anything
            return EncodeFailed(f"{type(error).__name__}: {error}")

    def _new_executor(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_exit_with_parent,
        )

    def _current_executor(self) -> ProcessPoolExecutor:
        with self._lock:
            return self._executor

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        """Replace the broken pool; only the first thread that finds it broken does so."""
        with self._lock:
            if self._executor is broken and not self._closed:
                broken.shutdown(wait=False)
                self._executor = self._new_executor()


def _exit_with_parent() -> None:
    """Exit this process when its parent is gone: a killed worker leaves no encoders behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "encoders run in child processes only"

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def _encode(
    pcm: Path, out: Path, audio_format: AudioFormat, sample_rate: int, tags: dict[str, str]
) -> EncodedFile:
    started_at = time.perf_counter()
    samples = np.load(pcm, allow_pickle=False, mmap_mode="r")
    with atomic_path(out) as part:
        write_audio_file(part, samples, sample_rate, audio_format, tags)
        md5, sha256 = _digests(part)
        size = part.stat().st_size
    return EncodedFile(out, size, md5, sha256, time.perf_counter() - started_at)


def _digests(path: Path) -> tuple[str, str]:
    # MD5 because object stores check it on upload; SHA-256 identifies the file.
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            md5.update(chunk)
            sha256.update(chunk)
    return md5.hexdigest(), sha256.hexdigest()
