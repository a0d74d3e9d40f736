"""The farm of deploy/compose.yaml without containers: its commands, settings, certificates and
configurations, on free ports of this machine. Swift behind TLS replaces its object store."""

import os
import shutil
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg

from tests.deploy.composed import ServiceFiles, composed, read, set_up
from tests.deploy.tools import program
from tests.servers.postgres import debian_binaries
from tests.servers.presence import require
from tests.servers.process import Process, accepts, as_user, free_port, run, scratch_folder
from tests.servers.redis import redis_binaries
from tests.servers.s3 import S3Access
from tests.servers.tls import HOST, Certificates, behind_tls
from trackfarm.client.admin import Administration

DOOR = ("https", "store", "broker")
INSIDE = {"scheduler": 8700, "postgres": 5432, "redis": 6379, "objects": 7070, "prometheus": 9090}
LOOPBACK = "127.0.0.1"


class ComposedFarm:
    """The running farm. `ports` of its services and, by the names in DOOR, of its front door;
    `client` connects through that door."""

    def __init__(self, folder: Path, store: S3Access) -> None:
        self.folder, self.store = folder, store
        self.scheduler: Process | None = None
        self.ports = {name: free_port() for name in (*DOOR, *INSIDE, "flower", "health", "grafana")}
        ports = {f"FARM_{name.upper()}_PORT": str(self.ports[name]) for name in DOOR}
        settings = set_up(folder, HOST)
        self.settings = read(settings) | ports
        self._farm = composed(settings, **ports)
        self.tls = Path(self.settings["FARM_FOLDER"]) / "tls"
        self.url = f"https://{HOST}:{self.ports['https']}"
        self.trust = ssl.create_default_context(cafile=self.tls / "ca.crt")
        self.client = Administration(
            self.url, self.settings["FARM_API_KEY"], ca_file=self.tls / "ca.crt", retry_seconds=10
        )

    def environment(self) -> dict[str, str]:
        """Return the environment for the operator's command line."""
        settings = {
            "TRACKFARM_URL": self.url,
            "TRACKFARM_API_KEY": self.settings["FARM_API_KEY"],
            "TRACKFARM_CA_FILE": str(self.tls / "ca.crt"),
        }
        return {**os.environ, **settings}

    def service(self, name: str, *, at: str = HOST, **places: str) -> ServiceFiles:
        """Return a service's files and commands; `at` is its host name for other services."""
        neighbours = {f"{n}:{port}": f"{at}:{self.ports[n]}" for n, port in INSIDE.items()}
        return ServiceFiles(self._farm, name, self.folder, places | neighbours)

    def started(self, service: ServiceFiles, command: list[str], **changed: str) -> Process:
        return Process(command, log=service.log, env=service.environment | changed)

    def start_scheduler(self) -> None:
        self.scheduler = scheduler(self)
        self.scheduler.wait_ready(self.client.is_healthy, timeout_s=60)

    def stop_scheduler(self) -> None:
        if self.scheduler is not None:
            self.scheduler.stop()

    def database(self, name: str) -> str:
        """Return the database URL, with the TLS parameters for libpq."""
        environment = self.service("scheduler").environment
        address = environment["TRACKFARM_SCHEDULER_DATABASE_URL"].replace("+psycopg", "")
        return address.replace("/farm?", f"/{name}?") + f"&sslrootcert={self.tls / 'ca.crt'}"


def scheduler(farm: ComposedFarm) -> Process:
    service = farm.service("scheduler")
    changed = {
        "HOST": LOOPBACK,
        "PORT": str(farm.ports["scheduler"]),
        "OBJECTS_ACCESS_KEY": farm.store.access_key,
        "OBJECTS_SECRET_KEY": farm.store.secret_key,
    }
    named = {f"TRACKFARM_SCHEDULER_{name}": value for name, value in changed.items()}
    return farm.started(service, [sys.executable, "-P", "-m", "trackfarm_scheduler"], **named)


def redis(farm: ComposedFarm) -> Process:
    binary = require(redis_binaries().get("redis-server"), "redis-server")
    service = farm.service("redis", **{"tls-port 6379": f"tls-port {farm.ports['redis']}"})
    return farm.started(service, [str(binary), *service.command[1:], "--bind", LOOPBACK])


def postgres(farm: ComposedFarm) -> Process:
    binaries = require(debian_binaries(), "PostgreSQL with TLS")
    service = farm.service("postgres")
    data, password = service.folder / "data", service.folder / "password"
    password.write_text(service.environment["POSTGRES_PASSWORD"])
    if os.geteuid() == 0:
        for path in (service.folder, *service.folder.rglob("*")):
            shutil.chown(path, "postgres")
    user = service.environment["POSTGRES_USER"]
    options = ["-U", user, "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"]
    run([*as_user("postgres"), binaries / "initdb", "-D", data, *options])
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(farm.ports["postgres"]),
        "unix_socket_directories": "",
    }
    here = [word for item in settings.items() for word in ("-c", "=".join(item))]
    command = [str(binaries / "postgres"), *service.command[1:], "-D", str(data), *here]
    return Process(command, log=service.log, user="postgres")


def accepts_password(farm: ComposedFarm) -> bool:
    """Return True if the database accepts our connection with its certificate and our password."""
    try:
        psycopg.connect(farm.database("postgres"), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def create_database(farm: ComposedFarm) -> None:
    """Create an empty database, as the image does at its first start."""
    with psycopg.connect(farm.database("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS farm WITH (FORCE)")
        connection.execute("CREATE DATABASE farm")


def front_door(farm: ComposedFarm) -> Process:
    binds = {"8443": "https", "9443": "store", "6380": "broker", "3000": "grafana"}
    binds |= {"9090": "health", "5555": "flower-door"}
    ports = farm.ports | {"flower-door": free_port()}
    places = {f"bind :{port}": f"bind {LOOPBACK}:{ports[name]}" for port, name in binds.items()}
    # Swift has another path for the health check.
    places |= {
        "GET /health\n": "GET /healthcheck\n",
        f"{LOOPBACK}:8404": f"{LOOPBACK}:{free_port()}",
    }
    service = farm.service("front", at=LOOPBACK, **places)
    return farm.started(service, [program("haproxy"), *service.command[1:]])


def prometheus(farm: ComposedFarm) -> Process:
    port = farm.ports["prometheus"]
    places = {
        "=:9090": f"={LOOPBACK}:{port}",
        "=/prometheus": f"={farm.folder}/series",
        "scrape_interval: 15s": "scrape_interval: 1s",
    }
    service = farm.service("prometheus", **places)
    return farm.started(service, [program("prometheus"), *service.command])


def flower(farm: ComposedFarm) -> Process:
    places = {"=0.0.0.0": f"={LOOPBACK}", "=5555": f"={farm.ports['flower']}"}
    service = farm.service("flower", **places)
    return farm.started(service, [sys.executable, "-m", *service.command])


def worker(farm: ComposedFarm, token: str, name: str, **changed: str) -> Process:
    """Start a worker that has only the farm's address, an invitation and the farm's CA."""
    folder = farm.folder / name
    folder.mkdir()
    authority = folder / "ca.crt"
    # Verify only the digest, as `deploy/provision/start` does.
    authority.write_bytes(httpx.get(f"{farm.url}/ca.crt", verify=False).content)  # noqa: S501
    assert authority.read_bytes() == (farm.tls / "ca.crt").read_bytes()
    options: Mapping[str, str] = {
        "SCHEDULER_URL": farm.url,
        "JOIN_TOKEN": token,
        "CA_FILE": str(authority),
        "NAME": name,
        "MODEL_SET": "tiny",
        "DATA_DIR": str(folder / "data"),
        **changed,
    }
    env = {f"TRACKFARM_WORKER_{key}": value for key, value in options.items()}
    return Process([sys.executable, "-P", "-m", "trackfarm_worker"], log=folder / "log", env=env)


@contextmanager
def composed_farm(store: S3Access) -> Iterator[ComposedFarm]:
    """Start everything except workers and monitoring; stop it on exit."""
    with scratch_folder("deploy") as folder, ExitStack() as parts:
        farm = ComposedFarm(folder, store)
        parts.callback(farm.client.close)
        files = Certificates(farm.tls / "ca.crt", farm.tls / "store.crt", farm.tls / "store.key")
        port = int(store.endpoint.rpartition(":")[2])
        farm.ports["objects"] = parts.enter_context(behind_tls(port, files))
        database = parts.enter_context(postgres(farm))
        database.wait_ready(lambda: accepts_password(farm))
        create_database(farm)
        broker = parts.enter_context(redis(farm))
        broker.wait_ready(lambda: accepts(farm.ports["redis"]))
        # The front door accepts connections before the scheduler is up.
        parts.enter_context(front_door(farm)).wait_ready(lambda: accepts(farm.ports["https"]))
        parts.callback(farm.stop_scheduler)
        farm.start_scheduler()
        yield farm
