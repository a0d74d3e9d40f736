"""Compute device of an engine: its limits, and its memory level.

Classification of errors by their remedy.
"""

import ctypes
import errno
import gc
import resource
from pathlib import Path
from typing import Any

import torch

from trackfarm.model_sets import ModelSet
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.batching import Limit
from trackfarm_worker.engine.child.memory import (
    Memory,
    MemoryLevel,
    MemoryLimits,
    first_level,
    memory_limits,
)
from trackfarm_worker.engine.child.optimize import offload_conditioning
from trackfarm_worker.engine.protocol import Setup

MIB = 1 << 20


class Device:
    """Compute device. `rung` is its memory level; changes of level are applied here."""

    def __init__(self, setup: Setup, model_set: ModelSet, pipeline: Any) -> None:
        self._options = setup.options
        self._model_set = model_set
        self._pipeline = pipeline
        self.kind = setup.device.split(":")[0]
        self._card_gb = 0.0
        name = self.kind
        if self.kind == "cuda":
            card = torch.cuda.get_device_properties(torch.device(setup.device))
            self._card_gb, name = card.total_memory / 1e9, card.name
        self._memory = Memory(memory_path(setup.spool), f"{name} {model_set.identity}")
        self.rung = self._memory.recall() or first_level(self.kind, model_set, self._card_gb)
        if self.rung.offload:
            offload_conditioning(pipeline)

    @property
    def room(self) -> MemoryLimits:
        return memory_limits(self.kind, self._model_set, self._card_gb, self.rung, self._options)

    @property
    def limit(self) -> Limit:
        return self.room.limit

    @property
    def can_offload(self) -> bool:
        return self.kind == "cuda"

    @property
    def ends_when_exhausted(self) -> bool:
        """Return whether the engine exits when out of memory: on a GPU a failed allocation leaves
        the memory fragmented."""
        return self.kind == "cuda" or self._options.retire_when_exhausted

    def settle(self, rung: MemoryLevel) -> None:
        """Apply this memory level and store it for restarts. Raises OSError."""
        if rung.offload and not self.rung.offload:
            offload_conditioning(self._pipeline)
        self.rung = rung
        self._memory.remember(rung)

    def reclaim(self) -> None:
        """Free the memory left behind by a failed batch."""
        gc.collect()
        if self.kind == "cuda":
            torch.cuda.empty_cache()
        else:
            # glibc caches large freed blocks; other libcs have no such call.
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim:
                trim(0)

    def synchronise(self) -> None:
        if self.kind == "cuda":
            torch.cuda.synchronize()


def memory_path(spool: Path) -> Path:
    """Return the file of the memory levels, beside the spool, which is emptied when a worker
    starts."""
    return spool.with_name(f"{spool.name}-limits.json")


def cap_memory(headroom_mib: int) -> None:
    """Limit this process to its current address space plus `headroom_mib`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now + headroom_mib * MIB, hard))


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
