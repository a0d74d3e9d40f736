"""Failures of tracks in the engine, and the classification of errors by their remedy."""

import errno
from dataclasses import dataclass

import torch

from trackfarm.protocol.worker import FailureKind

MAX_MESSAGE = 2000

# Out-of-memory messages of torch and its CPU kernels in a plain RuntimeError.
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "out of memory",
    "could not create a memory object",
    "could not create a primitive",
)


@dataclass(frozen=True, slots=True)
class EngineFailure:
    """Reason why a track is refused, cannot be made, or its audio is not delivered."""

    kind: FailureKind
    message: str


def failure_of(error: Exception) -> EngineFailure:
    """Return the failure to report for a track that failed with this error."""
    return EngineFailure(_kind(error), f"{type(error).__name__}: {error}"[:MAX_MESSAGE])


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in _OUT_OF_MEMORY
    )


def _kind(error: Exception) -> FailureKind:
    if is_out_of_memory(error):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FailureKind.DISK_FULL
    return FailureKind.ENGINE_ERROR
