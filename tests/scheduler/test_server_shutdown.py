"""Shutdown of the scheduler's process."""

import signal
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from tests.servers.process import Process, free_port, wait_until
from tests.servers.redis import RedisServer
from trackfarm_scheduler.server import run_shutdown_steps


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_scheduler_releases_its_leader_lease_when_stopped(
    redis: RedisServer, tmp_path: Path, number: signal.Signals
) -> None:
    port, log, database = free_port(), tmp_path / "log", f"sqlite:///{tmp_path / 'farm.db'}"
    (tmp_path / "objects").mkdir()
    fields = {
        "PORT": port,
        "DATABASE_URL": database,
        "BROKER_URL": redis.url,
        "OBJECTS_URL": (tmp_path / "objects").as_uri(),
        "API_KEY": "k" * 16,
        "SIGNING_SECRET": "s" * 16,
    }
    env = {f"TRACKFARM_SCHEDULER_{name}": str(value) for name, value in fields.items()}
    command = [sys.executable, "-P", "-m", "trackfarm_scheduler"]
    with Process(command, log=log, env=env, stop_signal=number) as process:
        process.wait_ready(lambda: _answers(port), timeout_s=60)
        wait_until(lambda: "leadership_gained" in log.read_text(), timeout_s=20, what="it leads")
        process.stop(timeout_s=20)
    assert process.exit_code == 0
    assert "scheduler_stopped" in log.read_text()
    assert "Traceback" not in log.read_text()
    with create_engine(database).connect() as connection:
        assert connection.execute(text("SELECT expires_at FROM leader_lease")).scalars().all() == [
            0.0
        ]


def test_shutdown_steps_all_run_when_one_fails() -> None:
    ended: list[str] = []

    def fails() -> None:
        ended.append("broker")
        raise ConnectionError

    run_shutdown_steps([lambda: ended.append("loop"), fails, lambda: ended.append("database")])
    assert ended == ["loop", "broker", "database"]


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success
    except httpx.TransportError:
        return False
