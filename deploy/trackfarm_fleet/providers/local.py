"""Workers as processes of this machine, one for each card.

A process and all that it starts inherit the tag in their environment, so they are found again by
whoever looks, whatever became of the process that started them: nothing has to be written down.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import psutil

from trackfarm_fleet.joining import TAG_VARIABLE
from trackfarm_fleet.providers.port import (
    BadRequest,
    Instance,
    NoCapacity,
    Observed,
    Offer,
    OfferQuery,
    RentalRequest,
    Trouble,
    Unavailable,
)
from trackfarm_fleet.providers.recovery import create_once

SLOT_VARIABLE = "TRACKFARM_FLEET_SLOT"
DATA_VARIABLE = "TRACKFARM_WORKER_DATA_DIR"
_OURS = ("TRACKFARM_", "RUNPOD_", "VAST_")
GRACE_S = 15.0  # a worker needs 8 s to deliver what it has finished


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one worker. `cuda` is the index of its card, None for one without; `memory_mib`
    of the card, `price_per_hour` what the owner reckons, in $."""

    name: str
    gpu: str = "cpu"
    memory_mib: int = 0
    cuda: int | None = None
    price_per_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class _Found:
    """A live process with a tag of ours."""

    process: psutil.Process
    tag: str
    slot: str
    started: float


class LocalProvider:
    """`command` is what a worker is started with, `folder` where its output goes; `grace` in
    seconds between asking a worker to end and ending it."""

    name = "local"

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        prefix: str,
        folder: Path,
        command: Sequence[str] = (sys.executable, "-m", "trackfarm_worker"),
        grace: float = GRACE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._slots = {slot.name: slot for slot in slots}
        self._prefix = prefix
        self._folder = folder
        self._command = tuple(command)
        self._grace = grace
        self._now = now
        self._asked_at: dict[str, float] = {}
        self._children: set[int] = set()

    def offers(self, query: OfferQuery) -> Sequence[Offer] | Trouble:
        taken = {found.slot for found in self._processes()}
        free = [self._offer(slot) for slot in self._slots.values() if slot.name not in taken]
        return sorted((o for o in free if o.meets(query)), key=lambda o: o.price_per_hour)

    def create(self, request: RentalRequest) -> Instance | Trouble:
        if request.bid is not None:
            return BadRequest("nobody bids for a machine of one's own")
        if request.command:
            return BadRequest("workers on this machine are started from what is installed on it")
        return create_once(
            request.tag, attempt=lambda: self._start(request), listing=self.instances
        )

    def instances(self) -> Sequence[Instance] | Trouble:
        self._bury_children()
        ours = sorted(self._processes(), key=lambda f: (f.tag, f.started, f.process.pid))
        return [self._instance(tag, list(group)) for tag, group in groupby(ours, lambda f: f.tag)]

    def terminate(self, instance_id: str) -> Trouble | None:
        """Asks the worker to end; ends it, and whatever it left behind, when it is asked again
        after the grace."""
        ours = [found for found in self._processes() if found.tag == instance_id]
        asked_at = self._asked_at.setdefault(instance_id, self._now())
        must = self._now() - asked_at >= self._grace
        for found in ours if must else _heads(ours):
            with suppress(psutil.NoSuchProcess):
                found.process.kill() if must else found.process.terminate()
        if not ours:
            del self._asked_at[instance_id]
        return None

    def _processes(self) -> list[_Found]:
        return [found for found in _tagged_processes() if found.tag.startswith(self._prefix)]

    def _start(self, request: RentalRequest) -> Instance | Trouble:
        slot = self._slots.get(request.offer.id)
        if slot is None:
            return BadRequest(f"this machine has no place named {request.offer.id!r}")
        if any(found.slot == slot.name for found in self._processes()):
            return NoCapacity(f"a worker runs on {slot.name} already")
        try:
            self._spawn(request, slot)
        except OSError as error:
            return Unavailable(f"the worker cannot be started: {error}", maybe_done=False)
        return Instance(
            self.name, request.tag, request.tag, Observed.STARTING, slot.gpu, region="local"
        )

    def _spawn(self, request: RentalRequest, slot: Slot) -> None:
        """In a session of its own, so that it outlives us and our terminal."""
        self._clear()
        data = {DATA_VARIABLE: str(self._folder / request.tag)}
        env = {**_plain_environ(), **data, **request.environment(), **_binding(slot, request.tag)}
        log = str(self._folder / f"{request.tag}.log")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawnp(
            self._command[0],
            self._command,
            env,
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
        self._children.add(pid)

    def _clear(self) -> None:
        """Makes the folder, and removes what workers that are gone have left in it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        alive = {found.tag for found in self._processes()}
        for left in self._folder.glob(f"{self._prefix}*/"):
            if left.name not in alive:
                shutil.rmtree(left, ignore_errors=True)

    def _bury_children(self) -> None:
        """A child that ended holds its process number until its parent has asked how."""
        for pid in tuple(self._children):
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    continue
            self._children.discard(pid)

    def _instance(self, tag: str, group: Sequence[_Found]) -> Instance:
        slot = self._slots.get(group[0].slot, Slot(group[0].slot, gpu=""))
        headless = not any(_leads_session(found) for found in group)
        return Instance(
            provider=self.name,
            id=tag,
            tag=tag,
            state=Observed.BROKEN if headless else Observed.RUNNING,
            gpu=slot.gpu,
            price_per_hour=slot.price_per_hour,
            region="local",
            host=slot.name,
            created_at=min(found.started for found in group),
            detail="its worker is dead, its children live" if headless else "",
        )

    def _offer(self, slot: Slot) -> Offer:
        return Offer(
            provider=self.name,
            id=slot.name,
            gpu=slot.gpu,
            gpus=1,
            memory_mib=slot.memory_mib,
            price_per_hour=slot.price_per_hour,
            region="local",
            host=slot.name,
        )


def _tagged_processes() -> Iterator[_Found]:
    """Those whose environment we may read: our own user's."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            env = process.environ()
            if tag := env.get(TAG_VARIABLE):
                yield _Found(process, tag, env.get(SLOT_VARIABLE, ""), process.create_time())


def _heads(group: Sequence[_Found]) -> list[_Found]:
    """Whom to ask: the worker, which ends its children in good order; all, once it is dead."""
    leaders = [found for found in group if _leads_session(found)]
    return leaders or list(group)


def _leads_session(found: _Found) -> bool:
    with suppress(ProcessLookupError):
        return os.getsid(found.process.pid) == found.process.pid
    return False


def _plain_environ() -> Mapping[str, str]:
    """Ours without the fleet's own settings and the providers' keys."""
    return {name: v for name, v in os.environ.items() if not name.startswith(_OURS)}


def _binding(slot: Slot, tag: str) -> Mapping[str, str]:
    card = {} if slot.cuda is None else {"CUDA_VISIBLE_DEVICES": str(slot.cuda)}
    return {TAG_VARIABLE: tag, SLOT_VARIABLE: slot.name, **card}
