"""An embedded farm: the programs that it consists of, their settings, start and stop."""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from trackfarm.client import Client, FarmError
from trackfarm.embedded.broker import (
    LOOPBACK,
    answers_ping,
    broker_program,
    broker_url,
    write_config,
)
from trackfarm.embedded.home import Home, Secrets, lock_home
from trackfarm.embedded.process import ChildSpec
from trackfarm.embedded.signals import SignalFlags
from trackfarm.embedded.supervisor import Supervisor
from trackfarm.protocol.operator import WorkerState
from trackfarm.settings import FarmAddress, farm_file, write_address

BROKER_STAGE, SCHEDULER_STAGE, WORKER_STAGE = 0, 1, 2
DATABASE = "TRACKFARM_SCHEDULER_DATABASE_URL"
BROKER = "TRACKFARM_SCHEDULER_BROKER_URL"
OBJECTS = "TRACKFARM_SCHEDULER_OBJECTS_URL"
_SECRET_NAMES = ("TRACKFARM_API_KEY", "TRACKFARM_URL")
START_SECONDS = 120.0  # importing torch from a cold disk takes most of a minute
PROBE_SECONDS = 2.0


class PortTaken(Exception):
    """The requested port is in use or not permitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmPlan:
    """The farm to run on this machine. `environ` may name external parts."""

    home: Home
    port: int
    workers: int
    model_set: str
    environ: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def threads(self) -> int:
        """CPU threads of each worker: the machine's cores divided by the workers, at least 1."""
        return max(1, (os.cpu_count() or 1) // max(1, self.workers))


@dataclass(frozen=True, slots=True)
class RunningFarm:
    """A farm with all parts running."""

    address: FarmAddress
    home: Home
    supervisor: Supervisor


@contextmanager
def embedded_farm(
    plan: FarmPlan, *, signals: SignalFlags, tell: Callable[[str], None]
) -> Iterator[RunningFarm]:
    """Run the farm inside the context; the caller must call `supervisor.tick` regularly.

    Raises:
        HomeInUse, ClientSettingsError: the home directory cannot be used.
        PortTaken, NoBroker: a part cannot be started on this machine.
        StartFailed: a part did not start.
        Interrupted: the operator interrupted the start.
    """
    plan.home.create()
    with lock_home(plan.home) as lock:
        secrets = plan.home.secrets()
        plan = replace(plan, port=choose_port(plan.port))
        with Client(plan.url, secrets.api_key, retry_seconds=0, timeout=PROBE_SECONDS) as probe:
            supervisor = Supervisor(
                child_specs(plan, secrets, probe),
                logs=plan.home.logs,
                tell=tell,
                is_wanted=lambda: not signals.requested,
                keep_open=(lock,),
            )
            address = FarmAddress(plan.url, secrets.api_key, os.getpid())
            try:
                supervisor.start_all(within=START_SECONDS)
                write_address(plan.home.root, address)
                yield RunningFarm(address, plan.home, supervisor)
            finally:
                supervisor.stop_all(is_forced=lambda: signals.forced)
                farm_file(plan.home.root).unlink(missing_ok=True)


def child_specs(plan: FarmPlan, secrets: Secrets, farm: Client) -> list[ChildSpec]:
    """Return the children of this farm, without parts that `plan.environ` names as external.

    Raises:
        NoBroker: a broker is needed and none is installed.
    """
    parts = []
    broker = plan.environ.get(BROKER)
    if not broker:
        port = choose_port(0)
        parts.append(_broker(plan, port, secrets.broker_password))
        broker = broker_url(port, secrets.broker_password)
    parts.append(_scheduler(plan, secrets, broker, farm))
    started = time.monotonic()
    names = [f"cpu-{number}" for number in range(1, plan.workers + 1)]
    return parts + [_worker(plan, secrets, name, farm, started) for name in names]


def choose_port(requested: int) -> int:
    """Return `requested` if it is free, or any free port for 0.

    Raises:
        PortTaken: the port is in use or not permitted.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, requested))
        except OSError as error:
            raise PortTaken(
                f"port {requested} cannot be used ({error.strerror}); choose another with --port,"
                " or any free one with --port 0"
            ) from error
        return int(probe.getsockname()[1])


def _broker(plan: FarmPlan, port: int, password: str) -> ChildSpec:
    config = write_config(plan.home.broker, port=port, password=password)
    return ChildSpec(
        name="broker",
        argv=(broker_program(), str(config)),
        env=_environment_without(plan.environ, "TRACKFARM_"),
        stage=BROKER_STAGE,
        healthy=lambda: answers_ping(port, password),
        stop_seconds=5,
    )


def _scheduler(plan: FarmPlan, secrets: Secrets, broker: str, farm: Client) -> ChildSpec:
    prefix = "TRACKFARM_SCHEDULER_"
    settings = {
        "HOST": LOOPBACK,
        "PORT": str(plan.port),
        "PUBLIC_URL": plan.url,
        "DATABASE_URL": plan.environ.get(DATABASE) or f"sqlite:///{plan.home.database}",
        "BROKER_URL": broker,
        "OBJECTS_URL": plan.environ.get(OBJECTS) or plan.home.objects.as_uri(),
        "API_KEY": secrets.api_key,
        "JOIN_TOKEN": secrets.join_token,
        "SIGNING_SECRET": secrets.signing_secret,
    }
    return ChildSpec(
        name="scheduler",
        argv=_module("trackfarm_scheduler"),
        env=_environment_without(plan.environ, "TRACKFARM_WORKER_") | _prefixed(prefix, settings),
        stage=SCHEDULER_STAGE,
        healthy=farm.is_healthy,
        stop_seconds=10,
    )


def _worker(
    plan: FarmPlan, secrets: Secrets, name: str, farm: Client, farm_started: float
) -> ChildSpec:
    prefix = "TRACKFARM_WORKER_"
    settings = {
        "SCHEDULER_URL": plan.url,
        "JOIN_TOKEN": secrets.join_token,
        "NAME": name,
        "MODEL_SET": plan.model_set,
        "DATA_DIR": str(plan.home.worker(name)),
        "THREADS": str(plan.threads),
    }
    return ChildSpec(
        name=f"worker-{name}",
        argv=_module("trackfarm_worker"),
        env=_environment_without(plan.environ, "TRACKFARM_SCHEDULER_")
        | _prefixed(prefix, settings),
        stage=WORKER_STAGE,
        healthy=_serves(name, farm, farm_started),
        stop_seconds=12,  # the worker drains within 10 s
    )


def _serves(name: str, farm: Client, farm_started: float) -> Callable[[], bool]:
    """Return a health check: whether the worker of this name accepts tracks.

    Its last heartbeat must be newer than the farm's start, because the scheduler may still list
    the worker of an earlier run.
    """

    def healthy() -> bool:
        try:
            workers = farm.workers()
        except FarmError:
            return False
        age = time.monotonic() - farm_started
        return any(
            worker.name == name
            and worker.state in (WorkerState.READY, WorkerState.BUSY)
            and worker.seconds_since_heartbeat < age
            for worker in workers
        )

    return healthy


def _module(name: str) -> tuple[str, ...]:
    # -P: do not import modules from the current directory.
    return (sys.executable, "-P", "-m", name)


def _environment_without(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the environment without the prefix of another part and without the operator's key."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(prefix) and name not in _SECRET_NAMES
    }


def _prefixed(prefix: str, settings: Mapping[str, str]) -> dict[str, str]:
    return {prefix + name: value for name, value in settings.items()}
