"""The device an engine computes on: its room, and what it has had to give up."""

import ctypes
import gc
import resource
from pathlib import Path
from typing import Any

import torch

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.acceleration import offload_conditioning
from trackfarm_worker.engine.batching import Limit
from trackfarm_worker.engine.ladder import Memory, Rung
from trackfarm_worker.engine.limits import Room, first_rung, room
from trackfarm_worker.engine.messages import Setup

MIB = 1 << 20


class Device:
    """`rung` is where it stands on the ladder; what changes with it is changed here."""

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
        self.rung = self._memory.recall() or first_rung(self.kind, model_set, self._card_gb)
        if self.rung.offload:
            offload_conditioning(pipeline)

    @property
    def room(self) -> Room:
        return room(self.kind, self._model_set, self._card_gb, self.rung, self._options)

    @property
    def limit(self) -> Limit:
        return self.room.limit

    @property
    def can_offload(self) -> bool:
        return self.kind == "cuda"

    @property
    def ends_when_exhausted(self) -> bool:
        """An allocator that failed on a card leaves it in pieces."""
        return self.kind == "cuda" or self._options.retire_when_exhausted

    def settle(self, rung: Rung) -> None:
        """Goes on from this rung, also after a restart. Raises OSError."""
        if rung.offload and not self.rung.offload:
            offload_conditioning(self._pipeline)
        self.rung = rung
        self._memory.remember(rung)

    def reclaim(self) -> None:
        """Gives back what a batch that broke off has left behind."""
        gc.collect()
        if self.kind == "cuda":
            torch.cuda.empty_cache()
        else:
            # glibc keeps large blocks once it has seen them freed; another libc has no such call.
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim:
                trim(0)

    def synchronise(self) -> None:
        if self.kind == "cuda":
            torch.cuda.synchronize()


def memory_path(spool: Path) -> Path:
    """Beside the spool, which is emptied when a worker starts."""
    return spool.with_name(f"{spool.name}-limits.json")


def cap_memory(headroom_mib: int) -> None:
    """Lets this process take no more than this beyond what it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (now + headroom_mib * MIB, hard))
