"""What a worker's children find in their environment."""

import os
import subprocess
import sys

import pytest

from trackfarm_worker.secrecy import SECRETS, taken


def test_a_child_finds_no_secret_and_all_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    given = taken(os.environ)
    child = subprocess.run(
        [sys.executable, "-c", _SHOW], capture_output=True, text=True, check=True
    )
    assert not set(SECRETS) & set(child.stdout.split())
    assert "CUDA_VISIBLE_DEVICES" in child.stdout.split()
    assert {given[name] for name in SECRETS} == {"secret"}


def test_what_was_not_given_is_not_missed() -> None:
    environ = {"HOME": "/root"}
    assert taken(environ) == environ


_SHOW = "import os; print(*os.environ)"
