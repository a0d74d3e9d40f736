"""Settings of the worker, and its secrets, which are absent from its environment and its children's."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

from trackfarm_worker.settings import SECRETS, WorkerSettings, take_environment

_PRINT_NAMES = "import os; print(*os.environ)"
_TAKE_ENVIRONMENT = """
import sys
from trackfarm_worker.settings import take_environment
print(take_environment()["RUNPOD_API_KEY"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TRACKFARM_WORKER_") or name == "CUDA_VISIBLE_DEVICES":
            monkeypatch.delenv(name)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKFARM_WORKER_JOIN_TOKEN", "join-me")
    monkeypatch.setenv("TRACKFARM_WORKER_MEMORY_MIB", "24564")
    monkeypatch.setenv("TRACKFARM_WORKER_DATA_DIR", "/data")
    settings = WorkerSettings()
    assert settings.join_token.get_secret_value() == "join-me"
    assert "join-me" not in repr(settings)
    assert (settings.memory_mib, settings.data_dir) == (24_564, Path("/data"))
    assert settings.name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEMORY_MIB", "-1"),
        ("MEMORY_MIB", "2k"),
        ("THREADS", "0"),
        ("ENCODERS", "0"),
        ("DRAIN_SECONDS", "0"),
        ("DRAIN_SECONDS", "61"),
        ("LOG_FORMAT", "xml"),
        ("NAME", ""),
    ],
)
def test_settings_name_an_invalid_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("TRACKFARM_WORKER_JOIN_TOKEN", "join-me")
    monkeypatch.setenv(f"TRACKFARM_WORKER_{name}", value)
    with pytest.raises(ValidationError) as failure:
        WorkerSettings()
    assert [error["loc"] for error in failure.value.errors()] == [(name.lower(),)]


def test_settings_need_a_join_token() -> None:
    with pytest.raises(ValidationError, match="join_token"):
        WorkerSettings()


def test_take_environment_hides_secrets_from_children(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    environment = take_environment()
    child = subprocess.run(
        [sys.executable, "-c", _PRINT_NAMES], capture_output=True, text=True, check=True
    )
    assert not set(SECRETS) & set(child.stdout.split())
    assert "CUDA_VISIBLE_DEVICES" in child.stdout.split()
    assert {environment[name] for name in SECRETS} == {"secret"}


def test_take_environment_hides_secrets_from_other_processes() -> None:
    environ = dict.fromkeys(SECRETS, "secret") | {"TRACKFARM_WORKER_RENTAL_TAG": "tf-1"}
    command = [sys.executable, "-c", _TAKE_ENVIRONMENT]
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"secret\n"
        environment = psutil.Process(worker.pid).environ()
        worker.communicate()
    assert "secret" not in environment.values()
    assert environment["TRACKFARM_WORKER_RENTAL_TAG"] == "tf-1"


def test_take_environment_without_secrets_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    assert take_environment() == dict(os.environ)
