"""A farm of real processes, each started by itself so that a test can end it by itself."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.ledger import Ledger
from tests.end_to_end.parts import Parts, chosen_parts, open_parts
from tests.end_to_end.processes import engine_of, is_running, tree_of
from tests.servers.process import Process, free_port, wait_until
from trackfarm.api import WorkerState
from trackfarm.client import Client
from trackfarm_scheduler.objects import ObjectStore, open_store
from trackfarm_scheduler.objects.opening import DEFAULT_REGION

API_KEY = "an-api-key-of-the-tests"
JOIN_TOKEN = "a-join-token-of-the-tests"
SIGNING_SECRET = "a-signing-secret-of-the-tests"
Setting = str | float

# Quick enough to be waited for. URLs outlive an upload, and what is abandoned is gone soon after.
QUICK: Mapping[str, Setting] = {
    "url_ttl_seconds": 5,
    "sweep_margin_seconds": 0.5,
    "sweep_seconds": 0.25,
}


class LocalFarm:
    """One scheduler and any number of workers over `parts`, on ports of their own."""

    def __init__(self, parts: Parts, folder: Path, settings: Mapping[str, Setting]) -> None:
        self.parts = parts
        self.folder = folder
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.client = Client(self.url, API_KEY, patience=10)
        self.ledger = Ledger(parts.database_url)
        self.workers: dict[str, Process] = {}
        self._scheduler: Process | None = None
        self._settings: dict[str, Setting] = {
            **settings,
            **parts.objects,
            "port": port,
            "database_url": parts.database_url,
            "broker_url": parts.broker.url,
            "api_key": API_KEY,
            "join_token": JOIN_TOKEN,
            "signing_secret": SIGNING_SECRET,
        }

    @property
    def scheduler(self) -> Process:
        assert self._scheduler is not None, "the scheduler runs"
        return self._scheduler

    @property
    def is_up(self) -> bool:
        return self._scheduler is not None and self._scheduler.alive

    def start_scheduler(self, **changed: Setting) -> None:
        """Starts it with the settings that it had, but for those that have changed."""
        self._settings.update(changed)
        self._scheduler = self._started("trackfarm_scheduler", "scheduler", self._settings)
        self._scheduler.wait_ready(self.client.healthy)

    def kill_scheduler(self) -> None:
        """Ends it as a crash does."""
        self.scheduler.kill()
        self._scheduler = None

    def begin_worker(self, name: str, **settings: Setting) -> Process:
        """Starts a worker without waiting for it, in the place of one that has ended."""
        if name in self.workers:
            self.workers[name].stop()
        told: dict[str, Setting] = {
            "name": name,
            "scheduler_url": self.url,
            "join_token": JOIN_TOKEN,
            "data_dir": str(self.folder / name),
            **settings,
        }
        self.workers[name] = self._started("trackfarm_worker", name, told)
        return self.workers[name]

    def start_workers(self, *names: str, **settings: Setting) -> None:
        """Starts those that do not run, all at once, and waits until each takes shards."""
        for name in names:
            if name not in self.workers or not self.workers[name].alive:
                self.begin_worker(name, **settings)
        for name in names:
            self.workers[name].wait_ready(partial(self.serves, name), timeout_s=60)

    def serves(self, name: str) -> bool:
        """Whether the present process of this name takes shards."""
        mine = [worker for worker in self.client.workers() if worker.name == name]
        working = {WorkerState.READY, WorkerState.BUSY}
        return len(mine) == 1 and mine[0].state in working

    def engine(self, name: str) -> int:
        """The process id of a worker's engine, once it has one."""
        pid = self.workers[name].pid
        wait_until(lambda: engine_of(pid) is not None, timeout_s=30, what=f"{name} has an engine")
        found = engine_of(pid)
        assert found is not None
        return found

    def store(self) -> ObjectStore:
        """The object store as the scheduler sees it."""
        settings: dict[str, Any] = {
            name.removeprefix("objects_"): v for name, v in self.parts.objects.items()
        }
        return open_store(
            settings.pop("url"),
            access_key=settings.get("access_key", ""),
            secret_key=settings.get("secret_key", ""),
            region=settings.get("region", DEFAULT_REGION),
            base_url=self.url,
            signing_secret=SIGNING_SECRET.encode(),
        )

    def stored(self) -> dict[str, int]:
        """Size of every object by its key."""
        return {found.key: found.size for found in self.store().list("tracks/")}

    def environment(self) -> dict[str, str]:
        """For the command line in a process of its own."""
        return {**os.environ, "TRACKFARM_URL": self.url, "TRACKFARM_API_KEY": API_KEY}

    def stop(self) -> None:
        """Ends what still runs; workers first, so that none waits for a scheduler that is gone."""
        started = set[int]().union(*(tree_of(worker.pid) for worker in self.workers.values()))
        for worker in self.workers.values():
            worker.kill()
        if self._scheduler is not None:
            self._scheduler.stop()
        self.client.close()
        self.ledger.close()
        wait_until(
            lambda: not any(map(is_running, started)), timeout_s=10, what="the farm has ended"
        )

    def _started(self, module: str, name: str, settings: Mapping[str, Setting]) -> Process:
        prefix = f"{module.upper()}_"
        env = {prefix + key.upper(): str(value) for key, value in settings.items()}
        command = [sys.executable, "-P", "-m", module]
        return Process(command, log=self.folder / f"{name}.log", env=env)


@contextmanager
def running_farm(
    request: pytest.FixtureRequest,
    folders: pytest.TempPathFactory,
    *,
    parts: str | None = None,
    workers: tuple[str, ...] = (),
    worker: Mapping[str, Setting] | None = None,
    **scheduler: Setting,
) -> Iterator[LocalFarm]:
    """A farm with `workers` ready to work, all with the settings `worker`; ended on exit."""
    folder = folders.mktemp("farm")
    with ExitStack() as ending:
        built_on = ending.enter_context(open_parts(parts or chosen_parts(), request, folder))
        farm = LocalFarm(built_on, folder, {**QUICK, **scheduler})
        ending.callback(farm.stop)
        farm.start_scheduler()
        farm.start_workers(*workers, **(worker or {}))
        yield farm
