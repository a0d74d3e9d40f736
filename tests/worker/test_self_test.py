"""Self-test of machines: real engines with the tiny model set, healthy and broken."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from trackfarm.model_sets import ModelSet, model_set
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.models import built_in
from trackfarm_worker.self_test import SelfTestFailed, run_self_test

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
TINY = model_set("tiny")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    built_in.ensure(model_set("tiny"), folder)
    return folder


def engine_of(spool: Path, source: Path, kind: ModelSet = TINY) -> EngineClient:
    return EngineClient(
        EngineSettings(model_set=kind.name, spool=spool, model_path=source, dtype="float32")
    )


@pytest.fixture(scope="module")
def engine(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineClient]:
    with engine_of(tmp_path_factory.mktemp("spool"), models) as process:
        process.start()
        yield process


def test_self_test_passes_on_a_healthy_machine(engine: EngineClient) -> None:
    result = run_self_test(engine, TINY, gpu="cpu", is_gpu=False, least_speed=0.0)
    assert result.difference <= 1e-3
    assert result.speed > 0
    assert result.seconds > 0


def test_self_test_rejects_a_machine_far_below_its_gpu_type(engine: EngineClient) -> None:
    with pytest.raises(
        SelfTestFailed, match=r"of the speed that this kind.*TRACKFARM_WORKER_LEAST_SPEED"
    ):
        run_self_test(engine, TINY, gpu="cpu", is_gpu=False, least_speed=1e6)


def test_self_test_accepts_any_speed_of_an_unknown_gpu(engine: EngineClient) -> None:
    kind = model_set("acestep-v15-turbo")
    result = run_self_test(engine, kind, gpu="a card of tomorrow", is_gpu=False, least_speed=1e6)
    assert result.speed == 0.0


def test_self_test_rejects_results_that_differ(engine: EngineClient) -> None:
    # No machine here computes wrongly, so the tolerance rejects even an exact repetition.
    with pytest.raises(SelfTestFailed, match="made twice with the same seeds differs"):
        run_self_test(engine, TINY, gpu="cpu", is_gpu=False, tolerance=-1.0)


def test_self_test_rejects_weights_that_make_no_sound(models: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(next(models.glob("tiny-*")), tmp_path / "broken"))
    (broken / "digests.txt").unlink()
    weights = broken / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.conv1.bias"] = torch.full_like(tensors["decoder.conv1.bias"], torch.nan)
    save_file(tensors, weights, metadata={"format": "pt"})
    kind = model_set("acestep-v15-turbo")
    with engine_of(tmp_path / "spool", broken, kind) as process:
        process.start()
        with pytest.raises(SelfTestFailed, match=r"a short batch could not be made.*not finite"):
            run_self_test(process, kind, gpu="cpu", is_gpu=False)
