"""Settings of the worker and the detected machine."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from trackfarm_worker import gpu
from trackfarm_worker.settings import WorkerSettings

SMI = """#!/bin/sh
echo "$@" > "$0.asked"
[ -e "$0.broken" ] && { echo "No devices were found" >&2; exit 6; }
echo "NVIDIA H200, 143771, 570.86.15"
echo "NVIDIA H200, 143771, 570.86.15"
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TRACKFARM_WORKER_") or name == "CUDA_VISIBLE_DEVICES":
            monkeypatch.delenv(name)


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a stand-in for nvidia-smi, which machines without a GPU lack."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tool


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


def test_a_cpu_worker_has_the_machines_memory() -> None:
    found = gpu.look("cpu")
    assert found.gpu == "cpu"
    assert found.memory_mib > 256
    assert gpu.look("cpu", gpu="pretend", memory_mib=8_192) == gpu.GpuInfo("pretend", 8_192, "")


def test_the_driver_is_asked_about_the_first_visible_gpu(
    smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpu.look("cuda") == gpu.GpuInfo("NVIDIA H200", 143_771, "570.86.15")
    assert "--id" not in smi.with_name("nvidia-smi.asked").read_text()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    gpu.look("cuda")
    assert "--id=3" in smi.with_name("nvidia-smi.asked").read_text()


def test_no_gpu_is_said_in_words(
    smi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi.with_name("nvidia-smi.broken").touch()
    with pytest.raises(RuntimeError, match="No devices were found"):
        gpu.look("cuda")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(RuntimeError, match="not installed"):
        gpu.look("cuda")
