"""The real parts of a measured farm: broker, database and scheduler, each in its own process."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.postgres import postgres_binaries, postgres_server
from tests.servers.process import Process, accepts, free_port, scratch_folder

from trackfarm.client import Client
from trackfarm.embedded.broker import broker_program, broker_url, write_config


@dataclass(slots=True)
class Parts:
    """The running parts. `pids` has the root process of each part; its children belong to the
    part."""

    folder: Path
    broker: str
    database: str
    pids: dict[str, int] = field(default_factory=dict)
    url: str = ""
    api_key: str = field(default_factory=lambda: secrets.token_hex(16))
    join_token: str = field(default_factory=lambda: secrets.token_hex(16))
    signing_secret: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def objects(self) -> Path:
        return self.folder / "objects"

    def client(self) -> Client:
        return Client(self.url, self.api_key)

    def environment(self) -> dict[str, str]:
        """Return the environment for a command line that connects to this farm."""
        return {**os.environ, "TRACKFARM_URL": self.url, "TRACKFARM_API_KEY": self.api_key}


@contextmanager
def running_broker(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield URL and pid of a broker, started as `trackfarm up` does."""
    port, password = free_port(), secrets.token_hex(16)
    config = write_config(folder, port=port, password=password)
    with Process([broker_program(), config], log=folder / "broker.log") as process:
        process.wait_ready(lambda: accepts(port))
        yield broker_url(port, password), process.pid


@contextmanager
def running_farm(database: str, **settings: object) -> Iterator[Parts]:
    """Yield a ready scheduler over `sqlite` or `postgres`; on exit, stop and remove everything."""
    with (
        scratch_folder("bench") as folder,
        running_broker(folder) as (broker, broker_pid),
        _database(database, folder) as (url, database_pid),
    ):
        parts = Parts(folder, broker, url)
        parts.pids["broker"] = broker_pid
        if database_pid is not None:
            parts.pids["database"] = database_pid
        with _scheduler(parts, settings):
            yield parts


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[tuple[str, int | None]]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'farm.db'}", None
        return
    binaries = postgres_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL is not installed: apt install postgresql")
    with postgres_server(binaries) as server:
        yield server.create_database(), server.pid


@contextmanager
def _scheduler(parts: Parts, settings: dict[str, object]) -> Iterator[None]:
    port = free_port()
    parts.url = f"http://127.0.0.1:{port}"
    options = {
        "port": port,
        "database_url": parts.database,
        "broker_url": parts.broker,
        "objects_url": parts.objects.as_uri(),
        "api_key": parts.api_key,
        "join_token": parts.join_token,
        "signing_secret": parts.signing_secret,
        **settings,
    }
    env = {f"TRACKFARM_SCHEDULER_{name.upper()}": str(value) for name, value in options.items()}
    command = [sys.executable, "-P", "-m", "trackfarm_scheduler"]
    with Process(command, log=parts.folder / "scheduler.log", env=env) as process:
        with parts.client() as farm:
            process.wait_ready(farm.is_healthy)
        parts.pids["scheduler"] = process.pid
        yield
