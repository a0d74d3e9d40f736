"""`trackfarm models`, run in its own process as an operator would."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trackfarm.model_sets import model_sets
from trackfarm_worker.models import tiny

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")

NO_TORCH = """
import sys
for name in ("torch", "diffusers", "transformers"):
    sys.modules[name] = None
from trackfarm.cli import main
sys.argv = ["trackfarm", "models", "list", "--json"]
main()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.ensure(folder)
    return folder


def run(store: Path, *arguments: str, code: int = 0) -> str:
    settings = {"TRACKFARM_MODELS": str(store), "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment = os.environ | settings | {"COLUMNS": "160"}
    command = [sys.executable, "-m", "trackfarm.cli", "models", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_the_list_needs_no_torch_and_knows_what_is_here(store: Path) -> None:
    environment = os.environ | {"TRACKFARM_MODELS": str(store)}
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH], env=environment, capture_output=True, check=True
    )
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows.keys() == model_sets().keys()
    assert {name for name, row in rows.items() if row["present"]} == {"tiny"}
    assert rows["acestep-v15-xl-sft"]["tiers"][0] == "vram12"
    assert rows["acestep-v15-base"]["licence"] == "MIT"


def test_the_table_names_every_model_set(store: Path) -> None:
    shown = run(store, "list")
    assert all(name in shown for name in model_sets())


def test_what_was_pulled_is_verified_and_what_changed_is_named(store: Path, tmp_path: Path) -> None:
    source = str(next(store.glob("tiny-*")))
    models = tmp_path / "models"
    pulled = json.loads(run(models, "pull", "acestep-v15-xl-turbo", "--source", source, "--json"))
    assert pulled["was_there"] is False
    assert Path(pulled["folder"]).parent == models
    assert "was already" in run(models, "pull", "acestep-v15-xl-turbo")
    assert "files match digests.txt" in run(models, "verify", "acestep-v15-xl-turbo")
    (Path(pulled["folder"]) / "vae" / "config.json").write_text("{}")
    shown = run(models, "verify", pulled["folder"], code=1)
    assert "vae/config.json has other contents" in shown
    shutil.rmtree(Path(pulled["folder"]) / "vae")
    assert "vae/config.json is missing" in run(models, "verify", pulled["folder"], code=1)


def test_what_cannot_be_done_ends_with_its_remedy(store: Path, tmp_path: Path) -> None:
    assert "holds no checkpoint" in run(
        store, "pull", "acestep-v15-sft", "--source", str(tmp_path), code=1
    )
    assert "is not a complete" in run(store, "verify", "acestep-v15-sft", code=1)
    assert "known are: tiny" in run(store, "pull", "acestep-v16", code=2)
    assert "needs the name" in run(store, "verify", code=2)
