"""Compute device of an engine: its limits, and its memory level."""

import ctypes
import gc
import resource
from pathlib import Path
from typing import Any

import torch

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.child.memory import (
    MemoryLevel,
    MemoryLevelStore,
    MemoryLimits,
    first_level,
    memory_limits,
)
from trackfarm_worker.engine.child.optimize import offload_conditioning
from trackfarm_worker.engine.protocol import Setup

MIB = 1 << 20


class Device:
    """Compute device. `level` is its memory level; changes of level are applied here."""

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
        path = memory_levels_path(setup.spool)
        self._store = MemoryLevelStore(path, f"{name} {model_set.identity}")
        self.level = self._store.load() or first_level(self.kind, model_set, self._card_gb)
        if self.level.offload:
            offload_conditioning(pipeline)

    @property
    def memory_limits(self) -> MemoryLimits:
        return memory_limits(self.kind, self._model_set, self._card_gb, self.level, self._options)

    @property
    def can_offload(self) -> bool:
        return self.kind == "cuda"

    @property
    def exits_when_exhausted(self) -> bool:
        """Return whether the engine exits when out of memory: on a GPU a failed allocation leaves
        the memory fragmented."""
        return self.kind == "cuda" or self._options.retire_when_exhausted

    def apply_level(self, level: MemoryLevel) -> None:
        """Change to this memory level and store it for restarts. Raises OSError."""
        if level.offload and not self.level.offload:
            offload_conditioning(self._pipeline)
        self.level = level
        self._store.save(level)

    def free_memory(self) -> None:
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


def memory_levels_path(spool: Path) -> Path:
    """Return the file of the memory levels, beside the spool, which is emptied when a worker
    starts."""
    return spool.with_name(f"{spool.name}-limits.json")


def cap_memory(headroom_mib: int) -> None:
    """Limit this process to its current address space plus `headroom_mib`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now + headroom_mib * MIB, hard))
