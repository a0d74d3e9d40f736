"""Loading of a tiny checkpoint in the same way as a real one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trackfarm.model_sets import model_set
from trackfarm.tiers import Residency
from trackfarm_worker.engine.child.conditioning import Conditioner
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.protocol import EngineTrack
from trackfarm_worker.models import built_in, tiny
from trackfarm_worker.models.cache import model_folder
from trackfarm_worker.models.checkpoint import ModelNotReady
from trackfarm_worker.models.digests import component_digests
from trackfarm_worker.models.loader import load, move_to_device

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
REAL = model_set("acestep-v15-turbo")
META = torch.device("meta")
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(autouse=True)
def fresh_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(cache: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built_in.ensure(model_set("tiny"), cache), tmp_path / "checkpoint"))


def test_load_keeps_the_saved_weights(folder: Path) -> None:
    loaded = load(REAL, folder, device="cpu")
    assert loaded.pipeline.transformer.dtype == torch.bfloat16
    assert loaded.digests == component_digests(folder)
    exact = load(REAL, folder, device="cpu", dtype="float32").pipeline
    built = tiny.build()
    for name in ("vae", "text_encoder", "transformer", "condition_encoder"):
        loaded_state = getattr(exact, name).state_dict()
        assert all(
            torch.equal(loaded_state[k], v) for k, v in getattr(built, name).state_dict().items()
        )
        assert not getattr(exact, name).training


def test_load_takes_tiny_from_its_cache(cache: Path) -> None:
    loaded = load(model_set("tiny"), cache, device="cpu")
    assert loaded.folder == built_in.ensure(model_set("tiny"), cache)
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
        (lambda f: (f / "vae" / WEIGHTS).write_bytes(b""), "is truncated"),
        (lambda f: (f / "vae" / f"{WEIGHTS}.incomplete").touch(), "an interrupted download"),
        (forget_shard, "00002-of-00002.safetensors is missing"),
        (unlist_tokenizer, "component audio_tokenizer is not in model_index.json"),
    ],
)
def test_load_names_what_is_missing(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    with pytest.raises(ModelNotReady, match=f"{message}.*point the worker at another folder"):
        load(REAL, folder, device="cpu")


def test_load_refuses_weights_that_changed_since_the_pull(folder: Path) -> None:
    weights = folder / "transformer" / WEIGHTS
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(ModelNotReady, match=f"transformer/{WEIGHTS} has other contents.*pull"):
        load(REAL, folder, device="cpu")


def test_load_needs_no_network_for_a_cached_model(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKFARM_MODELS", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    stored = shutil.copytree(built_in.ensure(model_set("tiny"), cache), model_folder(REAL))
    assert load(REAL, None, device="cpu").folder == stored


def test_load_from_an_unreachable_hub_says_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKFARM_MODELS", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    small = REAL.model_copy(update={"download_gb": 0.0})
    with pytest.raises(ModelNotReady, match=r"could not be downloaded.*point the worker at"):
        load(small, None, device="cpu")


def test_move_to_device_leaves_offloaded_text_modules() -> None:
    pipeline = tiny.build()
    # There is no GPU here: torch's meta device stands in for one.
    move_to_device(pipeline, "meta", offload=True)
    on_device = {
        name for name, part in pipeline.components.items() if getattr(part, "device", None) == META
    }
    assert on_device == {"transformer", "vae", "audio_tokenizer", "audio_token_detokenizer"}
    move_to_device(pipeline, "meta", offload=False)
    assert pipeline.text_encoder.device == pipeline.condition_encoder.device == META


def test_load_with_and_without_offloading_makes_the_same_latents(cache: Path) -> None:
    torch.set_num_threads(1)
    tiny_set = model_set("tiny")
    request = EngineTrack(track_id=1, prompt="rain", lyrics="la", duration=1.0, seed=3, steps=2)
    latents = []
    for offload in (False, True):
        residency = Residency(offload=offload, window=64)
        loaded = load(tiny_set, cache, device="cpu", residency=residency)
        assert loaded.residency == residency
        first = first_try(request, tiny_set, "one")
        assert isinstance(first, TrackTry)
        conditioner = Conditioner(loaded.pipeline)
        conditionings = conditioner.condition([conditioner.encode_inputs(first)])
        latents.append(Denoiser(loaded.pipeline).denoise(conditionings, lambda *_: ())[0][0])
    assert latents[0] is not None
    assert latents[1] is not None
    assert torch.equal(latents[0], latents[1])
