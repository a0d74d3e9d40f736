"""Bench of the stages behind an engine: a device that only waits, real codecs, real uploads."""

import subprocess
import sys

import pytest


@pytest.mark.soak
def test_pipeline_bench_measures_the_utilisation() -> None:
    command = [sys.executable, "-m", "trackfarm_bench", "pipeline", "--tracks", "24"]
    done = subprocess.run(
        [*command, "--duration", "20", "--format", "wav"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, tracks, _, _, device, engine, _ = done.stdout.splitlines()[-1].strip("| ").split(" | ")
    assert (name, tracks) == ("wav", "24")
    assert 0 < float(device.rstrip("%")) <= float(engine.rstrip("%")) + 1 <= 102
