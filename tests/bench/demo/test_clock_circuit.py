"""The circuit before any training: the angle of the asked tempo can be read after layer 1."""

from typing import Any

import numpy as np
import pytest
import torch

from trackfarm_demo.briefs import DemoBrief, model_text
from trackfarm_demo.clock import phases
from trackfarm_demo.clock_circuit import ANGLES
from trackfarm_demo.composition import Piece
from trackfarm_demo.latents import CHANNELS
from trackfarm_demo.music_theory import Key, tempo_index
from trackfarm_demo.structured_start import start_networks
from trackfarm_demo.vocabulary import build_tokenizer, vocabulary

FRAMES = 400


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    return dict(start_networks(seed=1))


def angles_after_layer_1(networks: dict[str, Any], bpm: int) -> np.ndarray:
    """Return (patches, 6) of the residual stream, for a brief of this tempo."""
    text = model_text(DemoBrief("deep house", bpm, "A minor", Piece("house", 0, Key(9, 1))))
    ids = torch.tensor([build_tokenizer(vocabulary()).encode(text).ids])
    outputs: list[torch.Tensor] = []
    layer = networks["transformer"].layers[1]
    handle = layer.register_forward_hook(lambda _m, _i, output: outputs.append(output))
    silence = networks["condition_encoder"].silence_latent[:, :FRAMES]
    with torch.inference_mode():
        states = networks["text_encoder"](input_ids=ids).last_hidden_state
        networks["transformer"](
            hidden_states=torch.randn(
                1, FRAMES, CHANNELS, generator=torch.Generator().manual_seed(1)
            ),
            timestep=torch.ones(1),
            timestep_r=torch.ones(1),
            encoder_hidden_states=networks["condition_encoder"].text_projector(states),
            context_latents=torch.cat([silence, torch.ones_like(silence)], dim=2),
        )
    handle.remove()
    return outputs[0][0, :, ANGLES : ANGLES + 6].numpy()


@pytest.mark.parametrize("bpm", [72, 95, 110, 128])
def test_angles_of_the_asked_tempo_lie_in_the_residual_stream(
    networks: dict[str, Any], bpm: int
) -> None:
    angles = angles_after_layer_1(networks, bpm)
    asked = phases(tempo_index(bpm), 0, FRAMES)
    others = [phases(tempo_index(bpm) + step, 0, FRAMES) for step in (-1, 1)]
    for level in range(3):
        pair = slice(2 * level, 2 * level + 2)
        heard = angles[:, pair] / np.linalg.norm(angles[:, pair], axis=1, keepdims=True)
        match = (heard * asked[:, pair]).sum(axis=1).mean()
        assert match > 0.8, level
        # Bars of a tempo 2.5 bpm away run apart only slowly; beats do so in a few seconds.
        if level == 2:
            assert all((heard * other[:, pair]).sum(axis=1).mean() < match for other in others)
