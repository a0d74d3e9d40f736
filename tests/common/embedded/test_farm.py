"""The parts of an embedded farm: their settings, ports, restarts and logs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trackfarm.client import Client
from trackfarm.embedded.farm import (
    BROKER,
    DATABASE,
    OBJECTS,
    FarmPlan,
    PortTaken,
    child_specs,
    choose_port,
)
from trackfarm.embedded.home import Home
from trackfarm.embedded.process import tail, trim
from trackfarm.embedded.supervisor import LONGEST_DELAY, RestartRecord


@pytest.fixture
def probe() -> Iterator[Client]:
    with Client("http://127.0.0.1:1", "key", retry_seconds=0) as farm:
        yield farm


def plan_in(folder: Path, **environ: str) -> FarmPlan:
    home = Home(folder / "a home")
    home.create()
    return FarmPlan(home=home, port=8701, workers=2, model_set="tiny", environ=environ)


def test_child_specs_start_everything_by_default(tmp_path: Path, probe: Client) -> None:
    plan = plan_in(tmp_path, PATH="/bin", TRACKFARM_API_KEY="mine")
    secrets = plan.home.secrets()
    parts = {part.name: part for part in child_specs(plan, secrets, probe)}
    assert list(parts) == ["broker", "scheduler", "worker-cpu-1", "worker-cpu-2"]
    scheduler = parts["scheduler"].env
    assert scheduler[DATABASE] == f"sqlite:///{plan.home.root}/trackfarm.db"
    assert scheduler[OBJECTS] == f"file://{tmp_path}/a%20home/objects"
    assert secrets.broker_password in scheduler[BROKER]
    worker = parts["worker-cpu-2"].env
    assert worker["TRACKFARM_WORKER_NAME"] == "cpu-2"
    assert worker["PATH"] == "/bin"
    hidden = {secrets.api_key, secrets.signing_secret, secrets.broker_password, "mine"}
    assert not hidden & set(worker.values())
    assert "TRACKFARM_API_KEY" not in scheduler


def test_child_specs_leave_out_external_parts(tmp_path: Path, probe: Client) -> None:
    outside = {
        DATABASE: "postgresql+psycopg://farm@db/farm",
        BROKER: "redis://cache:6379/0",
        OBJECTS: "http://s3:9000/tracks",
    }
    plan = plan_in(tmp_path, **outside)
    parts = {part.name: part for part in child_specs(plan, plan.home.secrets(), probe)}
    assert "broker" not in parts
    assert parts["scheduler"].env.items() >= outside.items()
    assert not parts["worker-cpu-1"].env.keys() & outside.keys()


def test_choose_port_refuses_a_taken_port(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} cannot be used"):
            choose_port(port)
    assert choose_port(0) > 0


def test_restart_delay_doubles_after_each_quick_exit() -> None:
    record, delays = RestartRecord(), []
    for _ in range(9):
        record = record.after(lived_seconds=1)
        delays.append(record.delay)
    assert delays[:4] == [0.5, 1, 2, 4]
    assert delays[-1] == LONGEST_DELAY
    assert record.keeps_failing
    assert record.after(lived_seconds=3600).delay == 0


def test_trim_cuts_a_log_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    with path.open("ab", buffering=0) as log:
        log.write(b"old\n" * 1_000)
        trim(path, max_bytes=100)
        log.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "worker.log.1").stat().st_size == 4_000
    assert tail(tmp_path / "worker.log.1", lines=2) == "old\nold"
    assert tail(tmp_path / "none.log") == ""
