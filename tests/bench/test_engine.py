"""Engine bench: its tables are complete, and batches are exact."""

import subprocess
import sys

import pytest


@pytest.mark.soak
def test_engine_bench_prints_both_tables() -> None:
    command = [sys.executable, "-m", "trackfarm_bench.engine", "--batches", "1", "--tracks", "2"]
    done = subprocess.run(
        [*command, "--duration", "1", "--largest", "2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = {
        cells[0]: cells[1:]
        for line in done.stdout.splitlines()
        if line.startswith("| ") and (cells := line.strip("| ").split(" | "))
    }
    for name in ("batch 1 against alone", "alone 1 against stock"):
        assert float(rows[name][1]) < 1e-5
    assert float(rows["batch 1 against alone"][3]) < 1e-4
    passes = {name: cells[1] for name, cells in rows.items() if name.startswith("ours")}
    assert passes == {"ours, batches of 1": "8.00", "ours, batches of 2": "4.00"}
