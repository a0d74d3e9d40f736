"""A farm of real processes, each of which a test can start and stop separately."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.database_view import DatabaseView
from tests.end_to_end.infrastructure import Infrastructure, infrastructure_kind, open_infrastructure
from tests.end_to_end.processes import engine_of, is_running, tree_of
from tests.servers.process import Process, free_port, wait_until
from trackfarm.client import Client
from trackfarm.protocol.operator import WorkerState
from trackfarm_scheduler.objects import ObjectStore, open_store
from trackfarm_scheduler.objects.factory import DEFAULT_REGION

API_KEY = "an-api-key-of-the-tests"
JOIN_TOKEN = "a-join-token-of-the-tests"
SIGNING_SECRET = "a-signing-secret-of-the-tests"
Setting = str | float

# Short enough to wait for: URLs outlive an upload, and orphaned objects are deleted soon after.
QUICK: Mapping[str, Setting] = {
    "url_ttl_seconds": 5,
    "sweep_margin_seconds": 0.5,
    "sweep_seconds": 0.25,
}


class LocalFarm:
    """One scheduler and any number of workers on `infrastructure`, with their own ports."""

    def __init__(
        self, infrastructure: Infrastructure, folder: Path, settings: Mapping[str, Setting]
    ) -> None:
        self.infrastructure = infrastructure
        self.folder = folder
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.client = Client(self.url, API_KEY, retry_seconds=10)
        self.database = DatabaseView(infrastructure.database_url)
        self.workers: dict[str, Process] = {}
        self._scheduler: Process | None = None
        self._settings: dict[str, Setting] = {
            **settings,
            **infrastructure.objects,
            "port": port,
            "database_url": infrastructure.database_url,
            "broker_url": infrastructure.broker.url,
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
        return self._scheduler is not None and self._scheduler.is_running

    def start_scheduler(self, **changed: Setting) -> None:
        """Start the scheduler with its previous settings, updated by `changed`."""
        self._settings.update(changed)
        self._scheduler = self._start("trackfarm_scheduler", "scheduler", self._settings)
        self._scheduler.wait_ready(self.client.is_healthy)

    def kill_scheduler(self) -> None:
        """Kill the scheduler like a crash."""
        self.scheduler.kill()
        self._scheduler = None

    def start_worker_process(self, name: str, **settings: Setting) -> Process:
        """Start a worker without waiting for it; a worker of the same name is stopped first."""
        if name in self.workers:
            self.workers[name].stop()
        options: dict[str, Setting] = {
            "name": name,
            "model_set": "tiny",
            "scheduler_url": self.url,
            "join_token": JOIN_TOKEN,
            "data_dir": str(self.folder / name),
            **settings,
        }
        self.workers[name] = self._start("trackfarm_worker", name, options)
        return self.workers[name]

    def start_workers(self, *names: str, **settings: Setting) -> None:
        """Start the workers that are not running, in parallel, and wait until each takes shards."""
        for name in names:
            if name not in self.workers or not self.workers[name].is_running:
                self.start_worker_process(name, **settings)
        for name in names:
            self.workers[name].wait_ready(partial(self.takes_shards, name), timeout_s=60)

    def takes_shards(self, name: str) -> bool:
        """Return whether the current worker of this name takes shards."""
        workers = [worker for worker in self.client.workers() if worker.name == name]
        working = {WorkerState.READY, WorkerState.BUSY}
        return len(workers) == 1 and workers[0].state in working

    def engine(self, name: str) -> int:
        """Wait for a worker's engine and return its process id."""
        pid = self.workers[name].pid
        wait_until(lambda: engine_of(pid) is not None, timeout_s=30, what=f"{name} has an engine")
        engine_pid = engine_of(pid)
        assert engine_pid is not None
        return engine_pid

    def store(self) -> ObjectStore:
        """Open the object store as the scheduler does."""
        settings: dict[str, Any] = {
            name.removeprefix("objects_"): v for name, v in self.infrastructure.objects.items()
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
        """Return the size of every track object by its key."""
        return {item.key: item.size for item in self.store().list("tracks/")}

    def environment(self) -> dict[str, str]:
        """Return the environment for a command-line process."""
        return {**os.environ, "TRACKFARM_URL": self.url, "TRACKFARM_API_KEY": API_KEY}

    def stop(self) -> None:
        """Stop all running parts, workers first, so that none waits for a stopped scheduler."""
        started = set[int]().union(*(tree_of(worker.pid) for worker in self.workers.values()))
        for worker in self.workers.values():
            worker.kill()
        if self._scheduler is not None:
            self._scheduler.stop()
        self.client.close()
        self.database.close()
        wait_until(
            lambda: not any(map(is_running, started)), timeout_s=10, what="the farm has ended"
        )

    def _start(self, module: str, name: str, settings: Mapping[str, Setting]) -> Process:
        prefix = f"{module.upper()}_"
        env = {prefix + key.upper(): str(value) for key, value in settings.items()}
        command = [sys.executable, "-P", "-m", module]
        return Process(command, log=self.folder / f"{name}.log", env=env)


@contextmanager
def running_farm(
    request: pytest.FixtureRequest,
    folders: pytest.TempPathFactory,
    *,
    kind: str | None = None,
    workers: tuple[str, ...] = (),
    worker: Mapping[str, Setting] | None = None,
    **scheduler: Setting,
) -> Iterator[LocalFarm]:
    """Run a farm with `workers` ready, all with the settings `worker`; stop it on exit."""
    folder = folders.mktemp("farm")
    with ExitStack() as cleanup:
        infrastructure = cleanup.enter_context(
            open_infrastructure(kind or infrastructure_kind(), request, folder)
        )
        farm = LocalFarm(infrastructure, folder, {**QUICK, **scheduler})
        cleanup.callback(farm.stop)
        farm.start_scheduler()
        farm.start_workers(*workers, **(worker or {}))
        yield farm
