"""The machines of a fake provider, run as real worker processes on this machine."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from tests.end_to_end.processes import tree_of
from tests.fleet.fakes.account import Account, FakeMachine
from tests.servers.process import Process

MEMORY_MIB = 24_564
Inside = Callable[[FakeMachine], Mapping[str, str]]


class MachineProcesses:
    """Runs a process for each machine that the fake provider has running, and kills the others.

    `inside` returns the variables that the provider adds to a machine's environment, `url` is its
    address for machines.
    """

    def __init__(
        self, account: Account, folder: Path, *, url: str, inside: Inside, **settings: object
    ) -> None:
        self.account, self.folder = account, folder
        self.processes: dict[str, Process] = {}
        self._inside = inside
        self._settings = {
            "device": "cpu",
            "memory_mib": MEMORY_MIB,
            "own_rental_url": url,
            "step_delay": 0.05,
            **settings,
        }

    def update(self) -> None:
        """Start or kill the process of every machine according to its state."""
        now = time.time()
        for machine in list(self.account.machines.values()):
            runs = machine.ended_at is None and not machine.stopped and not machine.broken
            self._switch(machine, on=runs and now >= machine.boots_at)

    def _switch(self, machine: FakeMachine, *, on: bool) -> None:
        process = self.processes.get(machine.id)
        if on and process is None:
            self.processes[machine.id] = self._begin(machine)
        elif not on and process is not None:
            _kill_tree(process)
            del self.processes[machine.id]

    def _begin(self, machine: FakeMachine) -> Process:
        settings = {"gpu": machine.gpu, "data_dir": self.folder / machine.id, **self._settings}
        env = {f"TRACKFARM_WORKER_{name.upper()}": str(value) for name, value in settings.items()}
        log = self.folder / f"machine-{machine.id}.log"
        env = {**machine.env, **self._inside(machine), **env}
        if not machine.command:
            command = [sys.executable, "-P", "-m", "trackfarm_worker"]
            return Process(command, log=log, env=env)
        # The machine's image comes with an installed environment.
        image = {"VENV": Path(sys.executable).parents[1], "FOLDER": self.folder / machine.id}
        env |= {f"TRACKFARM_{name}": str(value) for name, value in image.items()}
        return Process(machine.command, log=log, env=env)

    def stop(self) -> None:
        for process in self.processes.values():
            _kill_tree(process)


def _kill_tree(process: Process) -> None:
    """Kill the process and all its descendants, including children of a start script."""
    tree = tree_of(process.pid)
    process.kill()
    for pid in tree:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
