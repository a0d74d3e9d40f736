"""The `tiny` model set: a whole ACE-Step pipeline with random weights, 1.6 MB. It makes noise.

Every machine builds the same weights: numpy's PCG64 generates floats by integer arithmetic, while
torch's normal distribution differs in the last bit between instruction sets.
"""

import zlib
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers.pipelines import ace_step
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as bpe
from torch import nn

from trackfarm_worker.models.pipeline_parts import pipeline_scheduler, pipeline_tokenizer
from trackfarm_worker.models.random_weights import uniform_bound, weights_to_fill

# Type checkers see only placeholders in these libraries.
hf: Any = transformers
df: Any = diffusers
parts: Any = ace_step

SEED = 15
WIDTH = 32
LATENT = 8
LEVELS = [8, 8, 8, 5, 5, 5]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

_ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
_LAYERS = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "sliding_window": 8} | _ATTENTION


def build() -> Any:
    """Return an `AceStepPipeline` in memory, float32 on the CPU. Leaves the global random state
    alone."""
    with torch.random.fork_rng(devices=[]):
        networks = _networks()
    for name, part in networks.items():
        _fill(name, part)
    return df.AceStepPipeline(
        **networks,
        tokenizer=byte_tokenizer(),
        scheduler=pipeline_scheduler(),
    )


def _networks() -> dict[str, nn.Module]:
    return {
        "vae": df.AutoencoderOobleck(
            encoder_hidden_size=2 * LATENT,
            downsampling_ratios=[2, 4, 4, 6, 10],
            channel_multiples=[1] * 5,
            decoder_channels=8,
            decoder_input_channels=LATENT,
            audio_channels=2,
            sampling_rate=48_000,
        ),
        "text_encoder": hf.Qwen3Model(_text_config()),
        "transformer": df.AceStepTransformer1DModel(
            **_LAYERS,
            num_hidden_layers=4,
            in_channels=3 * LATENT,
            audio_acoustic_hidden_dim=LATENT,
            patch_size=2,
        ),
        "condition_encoder": parts.AceStepConditionEncoder(
            **_LAYERS,
            text_hidden_dim=WIDTH,
            timbre_hidden_dim=LATENT,
            num_lyric_encoder_hidden_layers=2,
            num_timbre_encoder_hidden_layers=2,
        ),
        "audio_tokenizer": parts.AceStepAudioTokenizer(
            **_LAYERS,
            audio_acoustic_hidden_dim=LATENT,
            fsq_dim=WIDTH,
            fsq_input_levels=LEVELS,
        ),
        "audio_token_detokenizer": parts.AceStepAudioTokenDetokenizer(
            **_LAYERS, audio_acoustic_hidden_dim=LATENT
        ),
    }


def _text_config() -> Any:
    return hf.Qwen3Config(
        vocab_size=256 + len(SPECIALS),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        max_position_embeddings=4096,
        **_ATTENTION,
    )


def byte_tokenizer() -> Any:
    """Return a tokenizer with bytes as tokens, in place of the real vocabulary."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, *SPECIALS])}
    tokenizer = Tokenizer(bpe.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    return pipeline_tokenizer(tokenizer, end=SPECIALS[0])


def _fill(part: str, module: nn.Module) -> None:
    for name, tensor in weights_to_fill(module):
        random = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(f"{part}.{name}".encode())]))
        uniform = random.random(tensor.numel(), dtype=np.float32) * 2 - 1
        values = torch.from_numpy(uniform).reshape(tensor.shape)
        tensor.data.copy_(values * uniform_bound(name, tensor))
