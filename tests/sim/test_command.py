"""`python -m trackfarm_sim` on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ["--fleet", "2x RTX 3090, 2x H100", "--tracks", "300", "--seeds", "2"]


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trackfarm_sim", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "120"},
    )


def test_simulate_prints_a_table_by_default() -> None:
    done = simulate(*SMALL, "--policy", "trackfarm", "--policy", "shards of 8")
    assert done.returncode == 0, done.stderr
    assert "trackfarm" in done.stdout
    assert "shards of 8" in done.stdout


def test_simulate_prints_json_and_writes_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = simulate(*SMALL, "--policy", "trackfarm", "--json", "--pictures", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (replication,) = json.loads(done.stdout)["trials"]
    assert [run["done"] for run in replication["runs"]] == [300, 300]
    assert replication["mean_ratio"] > 1.0
    for name in ("timeline.png", "comparison.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_simulate_market_lets_the_autoscaler_rent() -> None:
    done = simulate("--market", "--tracks", "200", "--seeds", "1", "--deadline", "1h", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["in_time"] == 1
    assert answer["episodes"][0]["rentals"]


@pytest.mark.parametrize(
    "options",
    [
        ("--deadline", "1h"),
        ("--market", "--fleet", "3x H100"),
        ("--market", "--policy", "trackfarm"),
    ],
)
def test_simulate_rejects_options_without_effect(options: tuple[str, ...]) -> None:
    done = simulate(*options)
    assert done.returncode == 2
    assert "has no effect" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("--fleet", "3x Foo", "RTX 3090"),
        ("--policy", "magic", "shards of 8"),
        ("--model-set", "huge", "tiny"),
    ],
)
def test_simulate_names_known_values_for_an_unknown_one(option: str, value: str, hint: str) -> None:
    done = simulate(option, value)
    assert done.returncode == 2
    assert hint in done.stderr
