"""Settings of the worker."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from trackfarm_worker.settings import WorkerSettings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TRACKFARM_WORKER_") or name == "CUDA_VISIBLE_DEVICES":
            monkeypatch.delenv(name)


def test_the_environment_is_the_only_source(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("TRACKFARM_WORKER_JOIN_TOKEN", "join-me")
    monkeypatch.setenv(f"TRACKFARM_WORKER_{name}", value)
    with pytest.raises(ValidationError) as wrong:
        WorkerSettings()
    assert [error["loc"] for error in wrong.value.errors()] == [(name.lower(),)]


def test_a_join_token_is_needed() -> None:
    with pytest.raises(ValidationError, match="join_token"):
        WorkerSettings()
