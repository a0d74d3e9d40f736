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
from trackfarm_worker.calibration import Calibration, CalibrationPoint, save
from trackfarm_worker.models import built_in
from trackfarm_worker.models.digests import write_digests

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
MEMORY_MIB = 24_564
POINT = CalibrationPoint(
    duration=60, steps=8, tracks=4, batch=4, condition=0.1, denoise=1.0, decode=1.0, service=2.2
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    built_in.ensure(model_set("tiny"), folder)
    return folder


def run(
    farm: ScriptedServer, data_dir: Path, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a worker until it ends by itself; the scheduler refuses its registration."""
    farm.reply_with(Reply(status=401))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRACKFARM_")}
    values = {
        "scheduler_url": farm.url,
        "join_token": "t",
        "data_dir": data_dir,
        "model_set": "tiny",
        "memory_mib": MEMORY_MIB,
        "join_seconds": 1,
        **settings,
    }
    environment |= {f"TRACKFARM_WORKER_{name.upper()}": str(v) for name, v in values.items()}
    command = [sys.executable, "-m", "trackfarm_worker"]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_registration_reports_the_calibration(models: Path, tmp_path: Path) -> None:
    record = Calibration(
        gpu="cpu", memory_mib=MEMORY_MIB, driver="", model_set="tiny@1", points=(POINT,)
    )
    save(record, tmp_path)
    with scripted_server() as farm:
        completed = run(farm, tmp_path, model_path=models)
        assert completed.returncode == 1, completed.stdout
        (request,) = [a for a in farm.requests if a.path.endswith("/register")]
    values = json.loads(request.body)["calibration"]
    assert values == record.facts(model_set("tiny"))
    assert values["batch_60s"] == 4


@pytest.mark.parametrize(
    ("has_valid_digests", "reason"),
    [
        pytest.param(True, "a short batch could not be made", marks=[pytest.mark.soak]),
        (False, "has other contents"),
    ],
)
def test_worker_with_a_damaged_or_silent_model_does_not_register(
    models: Path, tmp_path: Path, *, has_valid_digests: bool, reason: str
) -> None:
    folder = Path(shutil.copytree(next(models.glob("tiny-*")), tmp_path / "model"))
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.conv1.bias"] = torch.full_like(tensors["decoder.conv1.bias"], torch.nan)
    save_file(tensors, weights, metadata={"format": "pt"})
    if has_valid_digests:
        write_digests(folder)
    with scripted_server() as farm:
        completed = run(farm, tmp_path / "data", model_set="acestep-v15-turbo", model_path=folder)
        assert completed.returncode == 1
        assert reason in completed.stdout + completed.stderr
        assert farm.requests == []
