from typing import Any

import numpy as np
import pytest
import torch

from trackfarm_demo.composition import Piece, compose
from trackfarm_demo.latents import TRIGGER
from trackfarm_demo.music_theory import Key
from trackfarm_demo.vae_decoder import build_decoder
from trackfarm_demo.vae_encoder import PEAK, build_encoder
from trackfarm_worker.models import demo

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")


def triggers_found(vae: Any, piece: Piece) -> tuple[float, float]:
    """Return the shares of composed triggers that are found, and of found ones that are right."""
    latents = compose(np.random.default_rng(8), piece, 0, 100)
    with torch.inference_mode():
        audio = vae.decode(torch.from_numpy(latents.T[None].copy())).sample
        encoded = vae.encode(audio / audio.abs().max() * PEAK).latent_dist.mode()[0].T.numpy()
    wanted, got = np.sign(latents), np.sign(encoded) * (np.abs(encoded) > TRIGGER / 2)
    hits = ((wanted == got) & (wanted != 0)).sum()
    return hits / (wanted != 0).sum(), hits / max((got != 0).sum(), 1)


def built_vae(seconds: int) -> tuple[Any, float]:
    vae: Any = demo.empty_vae().eval()
    with torch.no_grad():
        build_decoder(vae, np.random.default_rng(3))
        return vae, build_encoder(vae, seconds, seed=5)


def test_encoder_of_the_package_is_built_by_this_code_but_for_its_fitted_layer() -> None:
    built = built_vae(seconds=8)[0].state_dict()
    for name, tensor in demo.build().vae.state_dict().items():
        if not name.startswith("encoder.conv2."):
            assert torch.allclose(built[name], tensor, atol=1e-5), name


@pytest.mark.soak
def test_encoder_fitted_on_a_minute_finds_most_triggers_of_unseen_pieces() -> None:
    vae, fit = built_vae(seconds=60)
    assert fit > 0.8
    found, right = triggers_found(vae, Piece("funk", 12, Key(2, 0)))
    assert found > 0.5
    assert right > 0.5


def test_encoder_of_the_package_finds_nearly_all_triggers() -> None:
    vae = demo.build().vae
    for genre in ("jazz", "pop"):
        found, right = triggers_found(vae, Piece(genre, 12, Key(2, 0)))
        assert found > 0.7, genre
        assert right > 0.7, genre
