"""GPU statistics from nvidia-smi, reported in heartbeats."""

from pathlib import Path

import pytest

from tests.worker.waiting import wait_until
from trackfarm_worker.gpu import GpuSensor, GpuStats, reading_of

SMI = """#!/bin/sh
echo "$@" > {asked}
echo "1024, 37"
echo "2048, 50"
exec sleep 60
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a stand-in for nvidia-smi, which machines without a GPU lack."""
    tool, asked = folder / "nvidia-smi", folder / "asked"
    tool.write_text(SMI.format(asked=asked))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    return asked


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        ("1024, 37\n", GpuStats(1024, 0.37)),
        ("0, 120", GpuStats(0, 1.0)),
        ("[N/A], [N/A]", None),
        ("12", None),
        ("", None),
    ],
)
def test_a_line_is_a_reading_or_nothing(line: str, reading: GpuStats | None) -> None:
    assert reading_of(line) == reading


def test_it_remembers_the_last_line_of_its_own_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = install(tmp_path, monkeypatch)
    with GpuSensor() as sensor:
        wait_until(lambda: sensor.read() == GpuStats(2048, 0.5), 10)
    assert "--id=3" in asked.read_text()
    assert sensor.read() is None, "after the end nothing is known"


def test_without_the_tool_there_is_no_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with GpuSensor() as sensor:
        assert sensor.read() is None
