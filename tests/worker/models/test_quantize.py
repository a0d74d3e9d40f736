"""Int8 weights: loss of accuracy and saving of memory, on layers of real width."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.worker.engine.engine_fixture import TINY
from trackfarm_worker.engine.child.conditioning import Conditioner
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.protocol import EngineTrack
from trackfarm_worker.models.acestep_checkpoint import component_configs
from trackfarm_worker.models.bench_models import STD
from trackfarm_worker.models.conversion import MODULES
from trackfarm_worker.models.loader import load
from trackfarm_worker.models.quantize import Int8Linear, quantise_linear_layers
from trackfarm_worker.models.random_weights import uniform_bound, weights_to_fill

FRAMES = 50


def transformer(random: torch.Generator) -> Any:
    """Return one layer of the 2B model's DiT, of real width."""
    variant = {"num_hidden_layers": 1, "is_turbo": True, "model_version": "turbo"}
    model = MODULES["transformer"][1](**component_configs({**STD, **variant})["transformer"])
    model.requires_grad_(False).eval()
    for name, tensor in weights_to_fill(model):
        bound = uniform_bound(name, tensor)
        tensor.data.uniform_(-bound, bound, generator=random)
    return model


def megabytes(model: nn.Module) -> float:
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.float() - other).norm() / other.norm())


def test_quantised_layers_lose_less_than_bfloat16_and_are_smaller() -> None:
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(1)
    model = transformer(random)
    inputs = {
        "hidden_states": torch.randn((1, FRAMES, 64), generator=random),
        "timestep": torch.tensor([0.7]),
        "timestep_r": torch.tensor([0.7]),
        "encoder_hidden_states": torch.randn((1, 20, 2048), generator=random),
        "context_latents": torch.randn((1, FRAMES, 128), generator=random),
    }

    def velocity(dtype: torch.dtype) -> torch.Tensor:
        cast = {name: tensor.to(dtype) for name, tensor in inputs.items()}
        with torch.inference_mode():
            output: torch.Tensor = model(**cast, return_dict=False)[0]
        return output

    exact = velocity(torch.float32)
    in_half = difference(velocity_in_half(model, velocity), exact)
    full = megabytes(model)
    quantise_linear_layers(model)
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    assert difference(velocity(torch.float32), exact) < min(in_half, 0.01)
    assert megabytes(model) == pytest.approx(full / 4, rel=0.05)


def velocity_in_half(model: Any, velocity: Any) -> torch.Tensor:
    """Return the velocity with a copy's weights in half precision, because the model's own would
    stay rounded."""
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.to(torch.bfloat16)
    output: torch.Tensor = velocity(torch.bfloat16)
    model.to(torch.float32)
    model.load_state_dict(weights)
    return output


def test_batch_with_int8_weights_equals_its_tracks_alone(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    with pytest.warns(FutureWarning, match="weight_norm"):
        loaded = load(TINY, tmp_path, device="cpu", weights="int8")
    assert loaded.residency.int8
    assert any(isinstance(part, Int8Linear) for part in loaded.pipeline.transformer.modules())
    conditioner, denoiser = Conditioner(loaded.pipeline), Denoiser(loaded.pipeline)
    tracks = [
        EngineTrack(track_id=i, prompt="rain " * i, duration=i, seed=i, steps=2, guidance=i)
        for i in (1, 2, 3)
    ]
    first_tries = [first_try(track, TINY, "") for track in tracks]
    encoded = [conditioner.encode_inputs(one) for one in first_tries if isinstance(one, TrackTry)]
    together, _ = denoiser.denoise(conditioner.condition(encoded), lambda *_: ())
    for inputs, latents in zip(encoded, together, strict=True):
        (alone,), _ = denoiser.denoise(conditioner.condition([inputs]), lambda *_: ())
        assert alone is not None
        assert latents is not None
        assert float((latents - alone).abs().max()) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_int8_linear_rounds_to_half_a_step(dtype: torch.dtype) -> None:
    linear = nn.Linear(64, 8, dtype=dtype).requires_grad_(False)
    linear.weight.data[3] = 0.0
    quantised = Int8Linear(linear)
    restored = quantised.weight.float() * quantised.scale.float()
    error = (restored - linear.weight.float()).abs() / quantised.scale.float()
    assert float(error.max()) <= 0.501
    assert not bool(restored[3].any())
    inputs = torch.randn((2, 64), generator=torch.Generator().manual_seed(1)).to(dtype)
    assert quantised(inputs).dtype == dtype
