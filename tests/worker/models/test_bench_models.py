"""Pipeline of the real architecture with random weights, shrunk for a CPU: it runs in bfloat16."""

from typing import Any

import pytest
import torch

from trackfarm_worker.models import bench_models

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "text_hidden_dim": 32,
    "num_lyric_encoder_hidden_layers": 1,
    "num_timbre_encoder_hidden_layers": 1,
    "fsq_dim": 32,
}
SMALL_TEXT = {name: SMALL[name] for name in ("hidden_size", "intermediate_size", "head_dim")}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench_models.OFFICIAL, "std", {**bench_models.STD, **SMALL})
    vae = {**bench_models.VAE, "channel_multiples": [1] * 5, "decoder_channels": 8}
    monkeypatch.setattr(bench_models, "VAE", vae)
    text = {**SMALL_TEXT, "num_hidden_layers": 1, "vocab_size": 259}
    monkeypatch.setattr(bench_models, "TEXT_ENCODER", {**bench_models.TEXT_ENCODER, **text})
    torch.set_num_threads(1)


def build(seed: int = 15) -> Any:
    return bench_models.build("std", turbo=True, device="cpu", dtype=torch.bfloat16, seed=seed)


@pytest.mark.usefixtures("small")
def test_build_makes_finite_noise_in_its_dtype_and_keeps_the_default_dtype() -> None:
    before = torch.get_default_dtype()
    pipeline = build()
    assert torch.get_default_dtype() == before
    for name in ("vae", "text_encoder", "transformer", "condition_encoder", "audio_tokenizer"):
        part = getattr(pipeline, name)
        assert part.dtype == torch.bfloat16
        assert not part.training
    assert pipeline.is_turbo
    audio = pipeline(prompt="rain", lyrics="", audio_duration=0.4, num_inference_steps=2).audios
    assert audio.shape == (1, 2, 19_200)
    assert torch.isfinite(audio).all()
    assert audio.abs().max() > 0.1


@pytest.mark.usefixtures("small")
def test_build_with_one_seed_has_one_set_of_weights() -> None:
    first, again, other = (build(seed).transformer.state_dict() for seed in (1, 1, 2))
    name = "layers.0.mlp.up_proj.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
