"""Tells errors apart by what helps against them."""

import errno

import torch

from trackfarm.wire import FailureKind

# What torch and its CPU kernels say in a plain RuntimeError when they got no memory.
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
    """For the report of a track that failed by it."""
    if is_out_of_memory(error):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FailureKind.DISK_FULL
    return FailureKind.ENGINE_ERROR


def told(error: Exception) -> str:
    """One message for people, at most 2,000 characters."""
    return f"{type(error).__name__}: {error}"[:2000]
