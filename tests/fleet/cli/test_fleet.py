"""`trackfarm fleet` without a farm: the offers of a provider."""

import json
import os
import subprocess
import sys
from pathlib import Path

from trackfarm_fleet.cli.fleet import fleet

COMMANDS = {"offers", "up", "status", "drain", "down", "reap", "cost"}


def list_offers(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("TRACKFARM_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "trackfarm.cli", "fleet", "offers", *options],
        env={**inherited, "TRACKFARM_HOME": str(folder), "TRACKFARM_FLEET_LOCAL_WORKERS": "2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_fleet_has_a_command_for_each_action() -> None:
    functions = [command.callback for command in fleet.registered_commands]
    assert {function.__name__ for function in functions if function} == COMMANDS


def test_fleet_offers_lists_the_slots_of_this_machine(tmp_path: Path) -> None:
    result = list_offers(tmp_path, "--provider", "local", "--json")
    assert result.returncode == 0, result.stderr
    offers = json.loads(result.stdout)
    assert [(o["provider"], o["id"], o["gpu"], o["gpus"]) for o in offers] == [
        ("local", "cpu0", "cpu", 1),
        ("local", "cpu1", "cpu", 1),
    ]


def test_fleet_offers_names_an_unknown_gpu(tmp_path: Path) -> None:
    result = list_offers(tmp_path, "--provider", "local", "--gpu", "nosuch")
    assert result.returncode == 2
    assert "no GPU is named 'nosuch'; on offer: cpu" in " ".join(result.stderr.split())


def test_fleet_offers_needs_a_provider(tmp_path: Path) -> None:
    result = list_offers(tmp_path)
    assert result.returncode == 2
    assert "no provider is configured" in " ".join(result.stderr.split())
