"""Self-test of machines: real engines with the tiny model set, healthy and broken."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from trackfarm.model_sets import ModelSet, model_set
from trackfarm_worker.engine.parent.client import EngineProcess
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.models import tiny
from trackfarm_worker.self_test import SelfTestFailed, examine

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
TINY = model_set("tiny")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.ensure(folder)
    return folder


def engine_of(spool: Path, source: Path, kind: ModelSet = TINY) -> EngineProcess:
    return EngineProcess(
        EngineSettings(model_set=kind.name, spool=spool, source=source, dtype="float32")
    )


@pytest.fixture(scope="module")
def engine(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with engine_of(tmp_path_factory.mktemp("spool"), models) as process:
        process.start()
        yield process


def test_a_whole_machine_is_fit(engine: EngineProcess) -> None:
    found = examine(engine, TINY, gpu="cpu", is_gpu=False, least_speed=0.0)
    assert found.difference <= 1e-3
    assert found.speed > 0
    assert found.seconds > 0


def test_a_machine_far_below_its_kind_is_not(engine: EngineProcess) -> None:
    with pytest.raises(
        SelfTestFailed, match=r"of the speed that this kind.*TRACKFARM_WORKER_LEAST_SPEED"
    ):
        examine(engine, TINY, gpu="cpu", is_gpu=False, least_speed=1e6)


def test_where_nothing_is_known_of_a_kind_speed_is_not_judged(engine: EngineProcess) -> None:
    kind = model_set("acestep-v15-turbo")
    found = examine(engine, kind, gpu="a card of tomorrow", is_gpu=False, least_speed=1e6)
    assert found.speed == 0.0


def test_a_machine_that_computes_otherwise_each_time_is_not(engine: EngineProcess) -> None:
    # No machine here computes wrongly, so the tolerance rejects even an exact repetition.
    with pytest.raises(SelfTestFailed, match="made twice with the same seeds differs"):
        examine(engine, TINY, gpu="cpu", is_gpu=False, tolerance=-1.0)


def test_weights_that_make_no_sound_are_found_before_any_track(
    models: Path, tmp_path: Path
) -> None:
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
            examine(process, kind, gpu="cpu", is_gpu=False)
