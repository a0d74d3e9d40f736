"""Start of the worker process up to registration: self-test, reported facts and errors."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.servers.scripted_http import Reply, ScriptedServer, scripted_server
from trackfarm.model_sets import model_set
from trackfarm_worker.calibration import Calibration, Point, save
from trackfarm_worker.models import tiny
from trackfarm_worker.models.digests import write_digests

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
MEMORY_MIB = 24_564
POINT = Point(
    duration=60, steps=8, tracks=4, batch=4, condition=0.1, denoise=1.0, decode=1.0, service=2.2
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.ensure(folder)
    return folder


def run(
    farm: ScriptedServer, data_dir: Path, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a worker until it ends by itself; the scheduler refuses its registration."""
    farm.reply_with(Reply(status=401))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRACKFARM_")}
    told = {
        "scheduler_url": farm.url,
        "join_token": "t",
        "data_dir": data_dir,
        "memory_mib": MEMORY_MIB,
        "join_seconds": 1,
        **settings,
    }
    environment |= {f"TRACKFARM_WORKER_{name.upper()}": str(v) for name, v in told.items()}
    command = [sys.executable, "-m", "trackfarm_worker"]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_what_was_calibrated_is_told(models: Path, tmp_path: Path) -> None:
    kept = Calibration(
        gpu="cpu", memory_mib=MEMORY_MIB, driver="", model_set="tiny@1", points=(POINT,)
    )
    save(kept, tmp_path)
    with scripted_server() as farm:
        done = run(farm, tmp_path, model_path=models)
        assert done.returncode == 1, done.stdout
        (request,) = [a for a in farm.requests if a.path.endswith("/register")]
    told = json.loads(request.body)["calibration"]
    assert told == kept.facts(model_set("tiny"))
    assert told["batch_60s"] == 4


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        pytest.param(True, "a short batch could not be made", marks=[pytest.mark.soak]),
        (False, "has other contents"),
    ],
)
def test_a_model_that_is_damaged_or_makes_no_sound_keeps_it_away(
    models: Path, tmp_path: Path, *, whole: bool, reason: str
) -> None:
    folder = Path(shutil.copytree(next(models.glob("tiny-*")), tmp_path / "model"))
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.conv1.bias"] = torch.full_like(tensors["decoder.conv1.bias"], torch.nan)
    save_file(tensors, weights, metadata={"format": "pt"})
    if whole:
        write_digests(folder)
    with scripted_server() as farm:
        done = run(farm, tmp_path / "data", model_set="acestep-v15-turbo", model_path=folder)
        assert done.returncode == 1
        assert reason in done.stdout + done.stderr
        assert farm.requests == []
