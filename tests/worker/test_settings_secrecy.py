"""Secrets are absent from the environment of the worker and of its children."""

import os
import subprocess
import sys

import psutil
import pytest

from trackfarm_worker.settings import SECRETS, taken


def test_a_child_finds_no_secret_and_all_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    given = taken()
    child = subprocess.run(
        [sys.executable, "-c", _SHOW], capture_output=True, text=True, check=True
    )
    assert not set(SECRETS) & set(child.stdout.split())
    assert "CUDA_VISIBLE_DEVICES" in child.stdout.split()
    assert {given[name] for name in SECRETS} == {"secret"}


def test_who_reads_a_workers_environment_from_outside_finds_no_secret_and_all_the_rest() -> None:
    environ = dict.fromkeys(SECRETS, "secret") | {"TRACKFARM_WORKER_RENTAL_TAG": "tf-1"}
    command = [sys.executable, "-c", _TAKE]
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"secret\n"
        found = psutil.Process(worker.pid).environ()
        worker.communicate()
    assert "secret" not in found.values()
    assert found["TRACKFARM_WORKER_RENTAL_TAG"] == "tf-1"


def test_what_was_not_given_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    assert taken() == dict(os.environ)


_SHOW = "import os; print(*os.environ)"
_TAKE = """
import sys
from trackfarm_worker.settings import taken
print(taken()["RUNPOD_API_KEY"], flush=True)
sys.stdin.read()
"""
