"""`trackfarm models`, run in its own process as an operator would."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trackfarm.model_sets import model_set, model_sets
from trackfarm_worker.models import built_in

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
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    built_in.ensure(model_set("tiny"), folder)
    return folder


def run(models_folder: Path, *arguments: str, code: int = 0) -> str:
    settings = {"TRACKFARM_MODELS": str(models_folder), "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment = os.environ | settings | {"COLUMNS": "160"}
    command = [sys.executable, "-m", "trackfarm.cli", "models", *arguments]
    completed = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert completed.returncode == code, completed.stderr
    return completed.stdout + completed.stderr


def test_list_needs_no_torch_and_shows_local_models(models_folder: Path) -> None:
    environment = os.environ | {"TRACKFARM_MODELS": str(models_folder)}
    completed = subprocess.run(
        [sys.executable, "-c", NO_TORCH], env=environment, capture_output=True, check=True
    )
    rows = {row["name"]: row for row in json.loads(completed.stdout)}
    assert rows.keys() == model_sets().keys()
    assert {name for name, row in rows.items() if row["present"]} == {"tiny"}
    assert rows["acestep-v15-xl-sft"]["tiers"][0] == "vram12"
    assert rows["acestep-v15-base"]["licence"] == "MIT"


def test_list_table_names_every_model_set(models_folder: Path) -> None:
    output = run(models_folder, "list")
    assert all(name in output for name in model_sets())


def test_verify_names_files_that_changed_since_the_pull(
    models_folder: Path, tmp_path: Path
) -> None:
    source = str(next(models_folder.glob("tiny-*")))
    models = tmp_path / "models"
    pulled = json.loads(run(models, "pull", "acestep-v15-xl-turbo", "--source", source, "--json"))
    assert pulled["was_there"] is False
    assert Path(pulled["folder"]).parent == models
    assert "was already" in run(models, "pull", "acestep-v15-xl-turbo")
    assert "files match digests.txt" in run(models, "verify", "acestep-v15-xl-turbo")
    (Path(pulled["folder"]) / "vae" / "config.json").write_text("{}")
    output = run(models, "verify", pulled["folder"], code=1)
    assert "vae/config.json has other contents" in output
    shutil.rmtree(Path(pulled["folder"]) / "vae")
    assert "vae/config.json is missing" in run(models, "verify", pulled["folder"], code=1)


def test_errors_name_the_remedy(models_folder: Path, tmp_path: Path) -> None:
    assert "holds no checkpoint" in run(
        models_folder, "pull", "acestep-v15-sft", "--source", str(tmp_path), code=1
    )
    assert "is not a complete" in run(models_folder, "verify", "acestep-v15-sft", code=1)
    assert "known are: tiny" in run(models_folder, "pull", "acestep-v16", code=2)
    assert "needs the name" in run(models_folder, "verify", code=2)
