from pathlib import Path
from typing import Any

import torch

from tests.worker.engine.builders import tiny_pipeline
from trackfarm_worker.engine.child.optimize import fold_weight_norm, in_float32


def test_fold_weight_norm_keeps_the_exact_audio(models: Path, stock: Any) -> None:
    own = tiny_pipeline(models)
    latents = torch.randn((1, 8, 20), generator=torch.Generator().manual_seed(1))
    fold_weight_norm(own.vae)
    fold_weight_norm(own.vae)
    assert not any(name.endswith("weight_g") for name, _ in own.vae.named_parameters())
    with torch.inference_mode():
        folded, original = (pipe.vae.decode(latents).sample for pipe in (own, stock))
    assert torch.equal(folded, original)


def test_in_float32_restores_the_model(models: Path) -> None:
    model = tiny_pipeline(models).transformer.to(torch.bfloat16)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with in_float32(model):
        assert model.dtype == torch.float32
    assert model.dtype == torch.bfloat16
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])
