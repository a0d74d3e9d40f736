"""GPU bench, with the tiny model on the CPU: the same code, other numbers."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer

from trackfarm_bench.gpu.command import gpu
from trackfarm_bench.gpu.floor import track_tflop


@pytest.mark.soak
def test_gpu_bench_dry_run_writes_a_page(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "trackfarm_bench.gpu",
        "--dry-run-tiny",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "gpu-cpu.md").read_text()
    assert page in done.stdout
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    results = rows[2:6]
    whats = [row[0].removeprefix("| ") for row in results]
    assert whats == ["stock, one by one", "stock, together", "ours", "ours"]
    rates = [float(row[3].replace(",", "")) for row in results]
    assert all(rate > 0 for rate in rates)
    assert rows[8][1:3] == [f"{max(rates[:2]):,.0f}", f"{max(rates[2:]):,.0f}"]
    assert "A dry run with the tiny model" in page
    assert "the engine was occupied" in page
    exactness = page.partition("latents ")[2].partition(" relative L2")[0]
    assert float(exactness) < 1e-5


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_gpu_bench_without_a_gpu_exits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ending:
        gpu(out=tmp_path)
    assert ending.value.exit_code == 2
    assert "no CUDA device found" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("duration", "guided", "expected"), [(60, False, 26.0), (240, False, 107.2), (240, True, 516.3)]
)
def test_track_tflop_interpolates_the_counted_operations(
    duration: float, guided: bool, expected: float
) -> None:
    steps = 25 if guided else 8
    results = track_tflop("std", duration, steps=steps, guided=guided)
    assert results == pytest.approx(expected, rel=0.01)
    assert track_tflop("std", 90, steps=8, guided=False) == pytest.approx(
        (
            track_tflop("std", 60, steps=8, guided=False)
            + track_tflop("std", 120, steps=8, guided=False)
        )
        / 2
    )
