"""Provider of workers as processes on this machine, one per GPU, or in a number of slots without
GPUs.

A process and all its children inherit the tag in their environment, so they are found again even if
the process that started them is gone, and nothing has to be stored.
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

from trackfarm.nvml import MIB, NvmlSession
from trackfarm_fleet.providers.base import (
    CPU,
    BadRequest,
    Instance,
    InstanceState,
    MachineOffer,
    NoCapacity,
    OfferQuery,
    ProviderError,
    RentalRequest,
    Unavailable,
)
from trackfarm_fleet.providers.http import create_once
from trackfarm_fleet.providers.worker_env import TAG_VARIABLE

SLOT_VARIABLE = "TRACKFARM_FLEET_SLOT"
DATA_VARIABLE = "TRACKFARM_WORKER_DATA_DIR"
_OURS = ("TRACKFARM_", "RUNPOD_", "VAST_")
GRACE_S = 15.0  # a worker needs 8 s to deliver its finished tracks
VISIBLE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot for one worker. `cuda` is the index of its GPU, None without one; `memory_mib` is the
    memory of the GPU, `price_per_hour` the operator's own estimate in $."""

    name: str
    gpu: str = CPU
    memory_mib: int = 0
    cuda: int | None = None
    price_per_hour: float = 0.0


def slots(workers: int, *, price: float = 0.0) -> list[Slot]:
    """Return `workers` slots without a GPU; with 0, one per GPU, or two if there is none. `price`
    in $ an hour each."""
    with NvmlSession() as nvml:
        gpus = {} if workers else nvml.gpus()
    if gpus:
        return [
            Slot(f"gpu{index}", gpu.name, gpu.memory_mib, index, price)
            for index, gpu in gpus.items()
        ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    return [Slot(f"cpu{n}", CPU, memory, None, price) for n in range(workers or 2)]


@dataclass(frozen=True, slots=True)
class _TaggedProcess:
    """A live process with one of our tags."""

    process: psutil.Process
    tag: str
    slot: str
    started: float


class LocalProvider:
    """Starts workers with `command`; their output goes to `folder`. `grace_seconds` lie
    between asking a worker to stop and killing it."""

    name = "local"

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        prefix: str,
        folder: Path,
        command: Sequence[str] = (sys.executable, "-m", "trackfarm_worker"),
        grace_seconds: float = GRACE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._slots = {slot.name: slot for slot in slots}
        self._prefix = prefix
        self._folder = folder
        self._command = tuple(command)
        self._grace_seconds = grace_seconds
        self._now = now
        self._stop_requested_at: dict[str, float] = {}
        self._children: set[int] = set()

    def offers(self, query: OfferQuery) -> Sequence[MachineOffer] | ProviderError:
        used_slots = {process.slot for process in self._processes()}
        free = [self._offer(slot) for slot in self._slots.values() if slot.name not in used_slots]
        return sorted((o for o in free if o.matches(query)), key=lambda o: o.price_per_hour)

    def create(self, request: RentalRequest) -> Instance | ProviderError:
        if request.bid is not None:
            return BadRequest("local workers take no bids")
        if request.command:
            return BadRequest("local workers run the installed worker and take no start command")
        return create_once(
            request.tag, attempt=lambda: self._start(request), listing=self.instances
        )

    def instances(self) -> Sequence[Instance] | ProviderError:
        self._reap_children()
        processes = sorted(self._processes(), key=lambda f: (f.tag, f.started, f.process.pid))
        return [
            self._instance(tag, list(group)) for tag, group in groupby(processes, lambda f: f.tag)
        ]

    def terminate(self, instance_id: str) -> ProviderError | None:
        """Ask the worker to stop; when called again after the grace period, kill it and its
        remaining children."""
        processes = [worker for worker in self._processes() if worker.tag == instance_id]
        requested_at = self._stop_requested_at.setdefault(instance_id, self._now())
        must_kill = self._now() - requested_at >= self._grace_seconds
        for worker in processes if must_kill else _processes_to_signal(processes):
            with suppress(psutil.NoSuchProcess):
                worker.process.kill() if must_kill else worker.process.terminate()
        if not processes:
            del self._stop_requested_at[instance_id]
        return None

    def _processes(self) -> list[_TaggedProcess]:
        return [process for process in _tagged_processes() if process.tag.startswith(self._prefix)]

    def _start(self, request: RentalRequest) -> Instance | ProviderError:
        slot = self._slots.get(request.offer.id)
        if slot is None:
            return BadRequest(f"this machine has no slot named {request.offer.id!r}")
        if any(process.slot == slot.name for process in self._processes()):
            return NoCapacity(f"{slot.name} already runs a worker")
        try:
            self._spawn(request, slot)
        except OSError as error:
            return Unavailable(f"the worker cannot be started: {error}", may_have_run=False)
        return Instance(
            self.name, request.tag, request.tag, InstanceState.STARTING, slot.gpu, region="local"
        )

    def _spawn(self, request: RentalRequest, slot: Slot) -> None:
        """Start the worker in its own session, so that it survives us and our terminal."""
        self._clear()
        data = {DATA_VARIABLE: str(self._folder / request.tag)}
        env = {
            **_clean_environment(),
            **data,
            **request.environment(),
            **_slot_environment(slot, request.tag),
        }
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
        _wait_until_visible(pid)

    def _clear(self) -> None:
        """Create the folder, and remove data of workers that are gone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        alive = {process.tag for process in self._processes()}
        for folder in self._folder.glob(f"{self._prefix}*/"):
            if folder.name not in alive:
                shutil.rmtree(folder, ignore_errors=True)

    def _reap_children(self) -> None:
        """Wait for ended children: until then a child keeps its process id."""
        for pid in tuple(self._children):
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    continue
            self._children.discard(pid)

    def _instance(self, tag: str, group: Sequence[_TaggedProcess]) -> Instance:
        slot = self._slots.get(group[0].slot, Slot(group[0].slot, gpu=""))
        is_leaderless = not any(_is_session_leader(process) for process in group)
        return Instance(
            provider=self.name,
            id=tag,
            tag=tag,
            state=InstanceState.BROKEN if is_leaderless else InstanceState.RUNNING,
            gpu=slot.gpu,
            price_per_hour=slot.price_per_hour,
            region="local",
            host=slot.name,
            created_at=min(process.started for process in group),
            detail="the worker is dead, but its child processes are alive" if is_leaderless else "",
        )

    def _offer(self, slot: Slot) -> MachineOffer:
        return MachineOffer(
            provider=self.name,
            id=slot.name,
            gpu=slot.gpu,
            gpus=1,
            memory_mib=slot.memory_mib,
            price_per_hour=slot.price_per_hour,
            region="local",
            host=slot.name,
        )


def _tagged_processes() -> Iterator[_TaggedProcess]:
    """Yield the processes with a tag, as far as we may read their environment: our own user's."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            env = process.environ()
            if tag := env.get(TAG_VARIABLE):
                yield _TaggedProcess(
                    process, tag, env.get(SLOT_VARIABLE, ""), process.create_time()
                )


def _wait_until_visible(pid: int) -> None:
    """Wait until the environment of a started process can be read, or the process is gone.

    `posix_spawn` returns as soon as the program is loaded; its environment is in place shortly
    after, and until then the process has no tag and would be missing from a list.
    """
    end = time.monotonic() + VISIBLE_TIMEOUT_S
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        while not process.environ() and time.monotonic() < end:
            time.sleep(0.001)


def _processes_to_signal(group: Sequence[_TaggedProcess]) -> list[_TaggedProcess]:
    """Return the processes to signal: the worker, which stops its children in order, or all if it
    is dead."""
    leaders = [process for process in group if _is_session_leader(process)]
    return leaders or list(group)


def _is_session_leader(tagged: _TaggedProcess) -> bool:
    with suppress(ProcessLookupError):
        return os.getsid(tagged.process.pid) == tagged.process.pid
    return False


def _clean_environment() -> Mapping[str, str]:
    """Return our environment without the fleet's settings and the providers' keys."""
    return {name: v for name, v in os.environ.items() if not name.startswith(_OURS)}


def _slot_environment(slot: Slot, tag: str) -> Mapping[str, str]:
    card = {} if slot.cuda is None else {"CUDA_VISIBLE_DEVICES": str(slot.cuda)}
    return {TAG_VARIABLE: tag, SLOT_VARIABLE: slot.name, **card}
