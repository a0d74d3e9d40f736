"""Classification of errors by their remedy."""

import errno

import torch

from trackfarm.wire import FailureKind

# Out-of-memory messages of torch and its CPU kernels in a plain RuntimeError.
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "out of memory",
    "could not create a memory object",
    "could not create a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in _NO_MEMORY
    )


def kind_of(error: Exception) -> FailureKind:
    """Return the failure kind to report for a track that failed with this error."""
    if is_out_of_memory(error):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FailureKind.DISK_FULL
    return FailureKind.ENGINE_ERROR


def told(error: Exception) -> str:
    """Return a readable message of at most 2,000 characters."""
    return f"{type(error).__name__}: {error}"[:2000]
