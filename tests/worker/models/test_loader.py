"""A tiny checkpoint, loaded through the same door as a real one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trackfarm.model_sets import model_set
from trackfarm_worker.models import tiny
from trackfarm_worker.models.checkpoint import ModelNotReady
from trackfarm_worker.models.digests import component_digests
from trackfarm_worker.models.loader import load

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
REAL = model_set("acestep-v15-turbo")
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def folder(cache: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.ensure(cache), tmp_path / "checkpoint"))


def test_a_folder_is_loaded_as_it_was_saved(folder: Path) -> None:
    loaded = load(REAL, folder, device="cpu")
    assert loaded.pipeline.transformer.dtype == torch.bfloat16
    assert loaded.digests == component_digests(folder)
    exact = load(REAL, folder, device="cpu", dtype="float32").pipeline
    built = tiny.build()
    for name in ("vae", "text_encoder", "transformer", "condition_encoder"):
        ours = getattr(exact, name).state_dict()
        assert all(torch.equal(ours[k], v) for k, v in getattr(built, name).state_dict().items())
        assert not getattr(exact, name).training


def test_tiny_is_loaded_from_its_cache(cache: Path) -> None:
    loaded = load(model_set("tiny"), cache, device="cpu")
    assert loaded.folder == tiny.ensure(cache)
    assert loaded.pipeline.vae.dtype == torch.float32


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def forget_shard(folder: Path) -> None:
    weight_map = {"a": WEIGHTS, "b": "diffusion_pytorch_model-00002-of-00002.safetensors"}
    index = folder / "transformer" / f"{WEIGHTS}.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))


def unlist_tokenizer(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["audio_tokenizer"] = [None, None]
    (folder / "model_index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: shutil.rmtree(f), "model_index.json is missing"),
        (lambda f: shutil.rmtree(f / "vae"), "vae/config.json is missing.*vae has no safetensors"),
        (lambda f: shutil.rmtree(f / "scheduler"), "scheduler/scheduler_config.json is missing"),
        (lambda f: (f / "vae" / WEIGHTS).unlink(), "vae has no safetensors weights"),
        (lambda f: truncate(f / "transformer" / WEIGHTS), r"transformer/.* has \d+ of \d+ bytes"),
        (lambda f: (f / "vae" / WEIGHTS).write_bytes(b""), "is cut short"),
        (lambda f: (f / "vae" / f"{WEIGHTS}.incomplete").touch(), "broken off"),
        (forget_shard, "00002-of-00002.safetensors is missing"),
        (unlist_tokenizer, "component audio_tokenizer is not in model_index.json"),
    ],
)
def test_what_is_not_whole_is_named(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    with pytest.raises(ModelNotReady, match=f"{message}.*point the worker at another folder"):
        load(REAL, folder, device="cpu")


def test_another_layout_is_answered_with_the_way_to_convert_it() -> None:
    with pytest.raises(ModelNotReady, match="convert_ace_step_to_diffusers"):
        load(model_set("acestep-v15-sft"), None, device="cpu")


def test_a_hub_that_cannot_be_reached_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotReady, match=r"could not be downloaded.*point the worker at"):
        load(REAL, None, device="cpu")
