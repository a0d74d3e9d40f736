"""Every weight of the real-size modules comes from exactly one official tensor."""

from typing import Literal

import pytest
import torch

from tests.worker.models.official_inventory import inventory
from trackfarm_worker.models import bench_models
from trackfarm_worker.models.acestep_checkpoint import pipeline_tensor

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")

MILLIONS = {
    "std": {"transformer": 1575.5, "condition_encoder": 608.4, "audio_tokenizer": 105.0},
    "xl": {"transformer": 4168.9, "condition_encoder": 608.4, "audio_tokenizer": 105.0},
}


@pytest.mark.parametrize(("size", "dit"), [("std", 24), ("xl", 32)])
def test_pipeline_tensor_fills_the_real_modules(size: Literal["std", "xl"], dit: int) -> None:
    names = inventory(dit, lyric=8, timbre=4, pooler=2)
    with torch.device("meta"):
        networks = bench_models.networks(size, turbo=True)
    declared = {
        (part, key)
        for part in set(networks) - {"vae", "text_encoder"}
        for key in networks[part].state_dict()
    }
    assert sorted(names.values()) == sorted(declared - {("condition_encoder", "silence_latent")})
    for official, (part, key) in names.items():
        tensor = pipeline_tensor(official)
        assert tensor is not None
        assert (tensor.component, tensor.key) == (part, key)


def test_inventory_has_as_many_tensors_as_the_published_2b_file() -> None:
    # 677 tensors by the header of ACE-Step/Ace-Step1.5's acestep-v15-turbo/model.safetensors.
    assert len(inventory(24, lyric=8, timbre=4, pooler=2)) == 677


@pytest.mark.parametrize("size", ["std", "xl"])
def test_networks_have_the_published_numbers_of_parameters(
    size: Literal["std", "xl"],
) -> None:
    with torch.device("meta"):
        networks = bench_models.networks(size, turbo=False)
    parameters = {
        name: round(sum(p.numel() for p in part.parameters()) / 1e6, 1)
        for name, part in networks.items()
    }
    assert parameters == MILLIONS[size] | {
        "audio_token_detokenizer": 105.0,
        "vae": 168.7,
        "text_encoder": 595.8,
    }
    assert len(networks["vae"].state_dict()) == 365


def test_pipeline_tensor_leaves_out_positions_and_refuses_unknown_names() -> None:
    assert pipeline_tensor("encoder.lyric_encoder.rotary_emb.inv_freq") is None
    for unknown in ("lm_head.weight", "model.decoder.norm_out.weight", "null_condition"):
        with pytest.raises(KeyError):
            pipeline_tensor(unknown)
