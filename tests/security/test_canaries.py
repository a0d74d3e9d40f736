"""A farm at debug log level with canary secrets, and a search for leaks of them."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import httpx
import pytest
from redis import Redis
from sqlalchemy import MetaData, create_engine, make_url

from tests.end_to_end.processes import command_of, tree_of
from tests.security.canaries import SIGNED, canary, files_below, leaks, leaks_in
from tests.servers.process import wait_until
from tests.servers.s3 import S3Access
from trackfarm.atomic_file import write_private
from trackfarm.catalog import Brief
from trackfarm.client import Client, RequestRefused
from trackfarm.embedded.home import Home
from trackfarm.protocol.operator import JobHeader
from trackfarm.settings import read_address
from trackfarm_scheduler.db.digests import digest_of

pytestmark = pytest.mark.soak
# Each is readable by its owner only, and is the configuration of one part of the farm.
MAY_HOLD = {
    "secrets.json": {"api_key", "join_token", "signing_secret", "broker_password"},
    "farm.json": {"api_key"},
    "broker/broker.conf": {"broker_password"},
    "workers/cpu-1/credentials.json": {"worker_token"},
}
WRONG = {"wrong_key": canary("wrong-key"), "wrong_token": canary("wrong-token")}


@dataclass(frozen=True)
class FarmRun:
    """Files that one farm left, and observations while it ran."""

    home: Path
    canaries: Mapping[str, str]
    database: bytes
    commands: set[str]
    answers: Mapping[str, bytes]
    broker: list[bytes]
    private: dict[str, tuple[int, bytes]]


@pytest.fixture(scope="module", params=["embedded", "external"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FarmRun:
    """Run a farm at debug level with one worker: one track done, one failed, refused strangers.

    `external`: its database and its store are servers with passwords.
    """
    home = tmp_path_factory.mktemp("canaries") / "home"
    secrets = _secrets(Home(home))
    outside = _External(request) if request.param == "external" else None
    commands: set[str] = set()
    settings = {} if outside is None else outside.settings
    with _farm_up(home, settings) as process, _watched(process.pid, commands):
        wait_until(lambda: _is_up(home, process), timeout_s=150, what="the farm is up")
        address = read_address(home)
        assert address is not None
        with Client(address.url, address.api_key) as farm:
            _work(farm)
            answers = _asked(farm, address.api_key)
        _knock(address.url)
        broker = _broker_contents(home, secrets["broker_password"])
        token = json.loads((home / "workers/cpu-1/credentials.json").read_text())["token"]
        private = _private(home)
    url = f"sqlite:///{home / 'trackfarm.db'}" if outside is None else outside.database
    canaries = secrets | WRONG | {"worker_token": token}
    canaries |= {} if outside is None else outside.secrets
    return FarmRun(home, canaries, _dump(url), commands, answers, broker, private)


class _External:
    """Existing servers. PostgreSQL needs no password here, but the URL has one all the same."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        url = make_url(request.getfixturevalue("postgres").create_database())
        store: S3Access = request.getfixturevalue("swift")
        password = canary("database")
        self.database = url.set(password=password).render_as_string(hide_password=False)
        self.secrets = {"database_password": password, "s3_secret": store.secret_key}
        prefix = "TRACKFARM_SCHEDULER_"
        self.settings = {
            f"{prefix}DATABASE_URL": self.database,
            f"{prefix}OBJECTS_URL": f"{store.endpoint}/canaries-{token_hex(6)}",
            f"{prefix}OBJECTS_ACCESS_KEY": store.access_key,
            f"{prefix}OBJECTS_SECRET_KEY": store.secret_key,
            f"{prefix}OBJECTS_REGION": store.region,
        }


def _dump(url: str) -> bytes:
    """Return every row of every table as text."""
    engine, tables = create_engine(url), MetaData()
    with closing(engine.connect()) as connection:
        tables.reflect(connection)
        rows = [
            tuple(row)
            for table in tables.sorted_tables
            for row in connection.execute(table.select())
        ]
    engine.dispose()
    assert rows
    return repr(rows).encode()


def _secrets(home: Home) -> dict[str, str]:
    home.create()
    names = ("api_key", "join_token", "signing_secret", "broker_password")
    canaries = {name: canary(name) for name in names}
    write_private(home.root / "secrets.json", json.dumps(canaries))
    return canaries


@contextmanager
def _farm_up(home: Path, settings: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith("TRACKFARM_")
    }
    overrides = {
        **settings,
        "TRACKFARM_HOME": str(home),
        "TRACKFARM_SCHEDULER_LOG_LEVEL": "debug",
        "TRACKFARM_WORKER_LOG_LEVEL": "debug",
    }
    command = [sys.executable, "-m", "trackfarm.cli", "up", "--workers", "1", "--port", "0"]
    command += ["--model-set", "tiny"]
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment | overrides, stdout=log, stderr=log)
        try:
            yield process
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
        finally:
            process.kill()
            process.wait()


def _is_up(home: Path, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (home / "up.log").read_text()
    return read_address(home) is not None


@contextmanager
def _watched(pid: int, commands: set[str]) -> Iterator[None]:
    """Collect the command line of every process of the farm, ten times a second."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            commands.update(command_of(each) for each in tree_of(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _work(farm: Client) -> None:
    cover = {"task_type": "cover", "src_audio": "http://127.0.0.1:9/inside.wav"}
    briefs = [
        Brief(prompt="piano", duration=10),
        Brief.model_validate({"prompt": "drums", "duration": 10} | cover),
    ]
    job = farm.submit(JobHeader(catalog="canaries", model_set="tiny"), briefs).job
    wait_until(lambda: farm.job(job.id).state.ended, timeout_s=60, what="the job ends")
    counts = farm.job(job.id).tracks
    assert (counts.done, counts.failed) == (1, 1)


def _asked(farm: Client, key: str) -> dict[str, bytes]:
    """Return public and operator responses of the scheduler by path."""
    headers = {"Authorization": f"Bearer {key}"}
    paths = ("/metrics", "/healthz", "/openapi.json", "/api/v1/workers", "/api/v1/events")
    return {path: httpx.get(farm.url + path, headers=headers).content for path in paths}


def _knock(url: str) -> None:
    """Call the scheduler with an invalid key, worker token and signature."""
    with Client(url, WRONG["wrong_key"]) as stranger, pytest.raises(RequestRefused):
        stranger.jobs()
    body = {"name": "x", "gpu": "x", "memory_mib": 8_192, "model_set": "tiny"}
    bearer = {"Authorization": f"Bearer {WRONG['wrong_token']}"}
    assert httpx.post(f"{url}/worker/v1/register", json=body, headers=bearer).status_code == 401
    assert httpx.put(f"{url}/objects/tracks/x?expires=1&signature=0", content=b"").is_client_error


def _broker_contents(home: Path, password: str) -> list[bytes]:
    config = (home / "broker" / "broker.conf").read_text()
    port = next(int(each.split()[1]) for each in config.splitlines() if each.startswith("port "))
    with closing(Redis(port=port, password=password)) as broker:
        keys = [bytes(key) for key in broker.scan_iter()]
        return [*keys, *(dumped for key in keys if (dumped := broker.dump(key)))]


def _private(home: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of the files that may hold a secret, while the farm runs."""
    return {
        name: (stat.S_IMODE((home / name).stat().st_mode), (home / name).read_bytes())
        for name in MAY_HOLD
    }


def test_secrets_are_only_in_files_of_their_owner(run: FarmRun) -> None:
    for name, (mode, content) in run.private.items():
        assert mode == 0o600, name
        assert set(leaks(content, run.canaries)) == MAY_HOLD[name], name


def test_files_of_the_farm_hold_no_other_secret(run: FarmRun) -> None:
    """No secret is in debug logs, the database, the broker's files, objects and outboxes."""
    places = [(name, text) for name, text in files_below(run.home) if name not in MAY_HOLD]
    names = {name for name, _ in places}
    assert {"logs/scheduler.log", "logs/worker-cpu-1.log", "up.log"} <= names
    assert leaks_in(places, run.canaries) == {}


def test_logs_are_at_debug_level_and_show_no_signature(run: FarmRun) -> None:
    logs = dict(files_below(run.home / "logs"))
    assert b"debug" in logs["scheduler.log"]
    assert b"track_done" in logs["scheduler.log"]
    assert b"track_failed" in logs["scheduler.log"]
    signed = [name for name, content in logs.items() if SIGNED.search(content)]
    assert signed == []


def test_database_stores_only_the_hash_of_a_worker_token(run: FarmRun) -> None:
    assert digest_of(run.canaries["worker_token"]).encode() in run.database
    assert leaks(run.database, run.canaries) == []


def test_responses_hold_no_secret(run: FarmRun) -> None:
    assert all(run.answers.values())
    assert leaks_in(run.answers.items(), run.canaries) == {}


def test_broker_messages_hold_no_secret(run: FarmRun) -> None:
    assert leaks(b"\n".join(run.broker), run.canaries) == []


def test_command_lines_show_no_secret(run: FarmRun) -> None:
    seen = "\n".join(sorted(run.commands))
    for part in (
        "trackfarm_scheduler",
        "trackfarm_worker",
        "trackfarm_worker.engine.child",
        "valkey-server",
    ):
        assert part in seen
    assert leaks(seen.encode(), run.canaries) == []
