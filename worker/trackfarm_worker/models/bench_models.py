"""The real architectures of ACE-Step 1.5 as numbers, and pipelines of that size with random
weights: they cost as much as the real ones and need no download. They make noise.

Sources: the `config.json` files of ACE-Step/acestep-v15-turbo and acestep-v15-xl-turbo, of their
`vae`, and of Qwen/Qwen3-Embedding-0.6B. sft and base have the sizes of turbo.
"""

from collections.abc import Mapping
from typing import Any, Literal

import diffusers
import torch
import transformers
from torch import nn

from trackfarm_worker.models.acestep_checkpoint import component_configs
from trackfarm_worker.models.conversion import MODULES
from trackfarm_worker.models.pipeline_parts import pipeline_scheduler
from trackfarm_worker.models.random_weights import uniform_bound, weights_to_fill
from trackfarm_worker.models.tiny import byte_tokenizer

# Type checkers see only placeholders in these libraries.
df: Any = diffusers
hf: Any = transformers

Size = Literal["std", "xl"]

STD: Mapping[str, Any] = {
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "in_channels": 192,
    "audio_acoustic_hidden_dim": 64,
    "patch_size": 2,
    "rope_theta": 1_000_000,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "rms_norm_eps": 1e-6,
    "sliding_window": 128,
    "text_hidden_dim": 1024,
    "timbre_hidden_dim": 64,
    "num_lyric_encoder_hidden_layers": 8,
    "num_timbre_encoder_hidden_layers": 4,
    "num_attention_pooler_hidden_layers": 2,
    "pool_window_size": 5,
    "fsq_dim": 2048,
    "fsq_input_levels": [8, 8, 8, 5, 5, 5],
    "fsq_input_num_quantizers": 1,
}
XL: Mapping[str, Any] = {
    **STD,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    **{f"encoder_{name}": STD[name] for name in ("hidden_size", "intermediate_size")},
    **{f"encoder_{name}": STD[name] for name in ("num_attention_heads", "num_key_value_heads")},
}
OFFICIAL: dict[str, Mapping[str, Any]] = {"std": STD, "xl": XL}
VAE: Mapping[str, Any] = {
    "encoder_hidden_size": 128,
    "downsampling_ratios": [2, 4, 4, 6, 10],
    "channel_multiples": [1, 2, 4, 8, 16],
    "decoder_channels": 128,
    "decoder_input_channels": 64,
    "audio_channels": 2,
    "sampling_rate": 48_000,
}
TEXT_ENCODER: Mapping[str, Any] = {
    "vocab_size": 151_669,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 32_768,
}


def networks(size: Size, *, turbo: bool) -> dict[str, nn.Module]:
    """Return the six networks on torch's default device and in its default dtype, with the weights
    of their constructors."""
    variant = {"is_turbo": turbo, "model_version": "turbo" if turbo else "sft"}
    configs = component_configs({**OFFICIAL[size], **variant})
    return {
        **{name: MODULES[name][1](**config) for name, config in configs.items()},
        "vae": df.AutoencoderOobleck(**VAE),
        "text_encoder": hf.Qwen3Model(hf.Qwen3Config(**TEXT_ENCODER)),
    }


def build(size: Size, *, turbo: bool, device: str, dtype: torch.dtype, seed: int = 15) -> Any:
    """Return an `AceStepPipeline` of real size, built on the device itself: 6.3 GB (std) or 11.5 GB
    (xl) in bfloat16. The same seed gives the same weights on the same kind of device."""
    parts = _networks_on(device, dtype, size, turbo)
    random = torch.Generator(device).manual_seed(seed)
    for part in parts.values():
        part.requires_grad_(False).eval()
        for name, tensor in weights_to_fill(part):
            bound = uniform_bound(name, tensor)
            tensor.data.uniform_(-bound, bound, generator=random)
    pipeline = df.AceStepPipeline(
        **parts,
        tokenizer=byte_tokenizer(),
        scheduler=pipeline_scheduler(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _networks_on(device: str, dtype: torch.dtype, size: Size, turbo: bool) -> dict[str, nn.Module]:
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device), torch.no_grad():
            return networks(size, turbo=turbo)
    finally:
        torch.set_default_dtype(previous)
