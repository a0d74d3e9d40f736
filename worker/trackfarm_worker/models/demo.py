"""The `demo` model set: ACE-Step with two million parameters that plays plucks and drums on a CPU.

Its weights come with this package: `demo.safetensors` (float16: the trained parts, and the clock) and
`demo_vae.npz` (float32: a VAE built by hand, mostly zeros). Both are made by `bench/trackfarm_demo`.
The VAE's numbers are stored, not built here, since the last bits of sines differ between machines.
"""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers.pipelines import ace_step
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn

from trackfarm_worker.models.pipeline_parts import pipeline_scheduler, pipeline_tokenizer

# Type checkers see only placeholders in these libraries.
hf: Any = transformers
df: Any = diffusers
parts: Any = ace_step

CHANNELS = 16
PATCH = 4
WIDTH = 192
LAYERS = 5
TEXT_WIDTH = 64
CLOCK_FRAMES = 15_000  # ten minutes, the longest track
END_TOKEN, UNKNOWN_TOKEN = "<|endoftext|>", "<unk>"

WEIGHTS, VAE_WEIGHTS, TOKENIZER = "demo.safetensors", "demo_vae.npz", "demo_tokenizer.json"
TRAINED = ("text_encoder", "transformer", "condition_encoder")
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
_TEXT_LAYERS = {"hidden_size": TEXT_WIDTH, "intermediate_size": 2 * TEXT_WIDTH, "head_dim": 16}


def build(folder: Path | None = None) -> Any:
    """Return an `AceStepPipeline` in memory, float32 on the CPU. Leaves the global random state
    alone. `folder` has the three files; by default the files of this package."""
    folder = folder or Path(__file__).parent
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    with torch.random.fork_rng(devices=[]):
        networks = trained_networks(tokenizer.get_vocab_size()) | _unused_networks()
        networks["vae"] = empty_vae()
    weights = load_file(folder / WEIGHTS)
    for name in TRAINED:
        networks[name].load_state_dict(_part(weights, name))
    networks["vae"].load_state_dict(_vae_weights(folder))
    return assemble(networks, tokenizer)


def assemble(networks: dict[str, nn.Module], tokenizer: Tokenizer) -> Any:
    """Return an `AceStepPipeline` of these parts, in eval mode."""
    return df.AceStepPipeline(
        **{name: network.eval() for name, network in networks.items()},
        tokenizer=pipeline_tokenizer(tokenizer, end=END_TOKEN, unknown=UNKNOWN_TOKEN),
        scheduler=pipeline_scheduler(),
    )


def trained_networks(tokens: int) -> dict[str, nn.Module]:
    """Return the three trained networks, with random weights. All layers look at 8 neighbours."""
    return {
        "text_encoder": hf.Qwen3Model(
            hf.Qwen3Config(
                vocab_size=tokens,
                num_hidden_layers=1,
                max_position_embeddings=4096,
                **_TEXT_LAYERS,
                **_HEADS,
            )
        ),
        "transformer": df.AceStepTransformer1DModel(
            hidden_size=WIDTH,
            intermediate_size=256,
            num_hidden_layers=LAYERS,
            head_dim=32,
            in_channels=3 * CHANNELS,
            audio_acoustic_hidden_dim=CHANNELS,
            patch_size=PATCH,
            is_turbo=True,
            encoder_hidden_size=TEXT_WIDTH,
            layer_types=["sliding_attention"] * LAYERS,
            sliding_window=8,
            **_HEADS,
        ),
        "condition_encoder": parts.AceStepConditionEncoder(
            text_hidden_dim=TEXT_WIDTH,
            timbre_hidden_dim=CHANNELS,
            num_lyric_encoder_hidden_layers=1,
            num_timbre_encoder_hidden_layers=1,
            sliding_window=8,
            **_TEXT_LAYERS,
            **_HEADS,
        ),
    }


def empty_vae() -> nn.Module:
    """Return the VAE with random weights: 25 latents of 16 channels a second, stereo at 48 kHz."""
    vae: nn.Module = df.AutoencoderOobleck(
        encoder_hidden_size=2 * CHANNELS,
        downsampling_ratios=[2, 4, 4, 6, 10],
        channel_multiples=[1, 1, 10, 10, 10],
        decoder_channels=12,
        decoder_input_channels=CHANNELS,
        audio_channels=2,
        sampling_rate=48_000,
    )
    return vae


def _unused_networks() -> dict[str, nn.Module]:
    """Return the two parts of covers, which the model set refuses; a checkpoint must have them."""
    small = {"hidden_size": 16, "intermediate_size": 16, "head_dim": 8, "sliding_window": 8}
    width = {"audio_acoustic_hidden_dim": CHANNELS}
    networks = {
        "audio_tokenizer": parts.AceStepAudioTokenizer(
            **small, **_HEADS, **width, fsq_dim=16, fsq_input_levels=[8, 8, 8, 5, 5, 5]
        ),
        "audio_token_detokenizer": parts.AceStepAudioTokenDetokenizer(**small, **_HEADS, **width),
    }
    for network in networks.values():
        for tensor in network.parameters():
            tensor.data.zero_()
    return networks


def _part(weights: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): tensor.float()
        for key, tensor in weights.items()
        if key.startswith(prefix)
    }


def _vae_weights(folder: Path) -> dict[str, torch.Tensor]:
    with np.load(folder / VAE_WEIGHTS, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
