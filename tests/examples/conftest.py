"""Fixtures: one farm of real processes for all examples, and a runner of scripts."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.farm import LocalFarm
from trackfarm.model_sets import DEFAULT_MODEL_SET

Script = Callable[..., str]
SCRIPT_SECONDS = 120


@pytest.fixture(scope="module")
def farm(shared_farm: LocalFarm) -> LocalFarm:
    return shared_farm


@pytest.fixture(scope="module")
def demo_worker(farm: LocalFarm) -> Iterator[None]:
    """Serve the default model set as well, for examples that name none."""
    farm.start_workers("demo", model_set=DEFAULT_MODEL_SET)
    yield
    farm.workers.pop("demo").stop()


@pytest.fixture
def script(farm: LocalFarm, tmp_path: Path) -> Script:
    """Return a function that runs a command in the test's folder and returns its output."""

    def run(*command: object, ends: int = 0) -> str:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=tmp_path,
            env=farm.environment()
            | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )
        assert done.returncode == ends, f"{done.stdout}\n{done.stderr}"
        return done.stdout if ends == 0 else done.stderr

    return run
