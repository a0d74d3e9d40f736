"""Small official checkpoint, made from the tiny pipeline with the names of `official_inventory`."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.worker.models.official_inventory import inventory

DIT = "acestep-v15-sft"
LAYERS = {"dit": 4, "lyric": 2, "timbre": 2, "pooler": 2}
CONFIG = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "in_channels": 24,
    "audio_acoustic_hidden_dim": 8,
    "patch_size": 2,
    "rope_theta": 1_000_000,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "rms_norm_eps": 1e-6,
    "sliding_window": 8,
    "use_sliding_window": True,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "text_hidden_dim": 32,
    "timbre_hidden_dim": 8,
    "num_lyric_encoder_hidden_layers": 2,
    "num_timbre_encoder_hidden_layers": 2,
    "num_attention_pooler_hidden_layers": 2,
    "pool_window_size": 5,
    "fsq_dim": 32,
    "fsq_input_levels": [8, 8, 8, 5, 5, 5],
    "fsq_input_num_quantizers": 1,
    "is_turbo": False,
}


def official_tensors(pipeline: Any) -> dict[str, torch.Tensor]:
    return {
        official: getattr(pipeline, part).state_dict()[key].contiguous()
        for official, (part, key) in inventory(**LAYERS).items()
    }


def write_official(pipeline: Any, folder: Path) -> Path:
    """Write `folder/acestep-v15-sft`, `folder/vae` and `folder/Qwen3-Embedding-0.6B`."""
    dit = folder / DIT
    dit.mkdir(parents=True)
    (dit / "config.json").write_text(json.dumps(CONFIG))
    save_file(official_tensors(pipeline), dit / "model.safetensors")
    silence = pipeline.condition_encoder.silence_latent.transpose(1, 2).contiguous()
    torch.save(silence, dit / "silence_latent.pt")
    pipeline.vae.save_pretrained(folder / "vae")
    pipeline.text_encoder.save_pretrained(folder / "Qwen3-Embedding-0.6B")
    # As published: the language model's own tokenizer, with its own padding side.
    pipeline.tokenizer.padding_side = "left"
    pipeline.tokenizer.save_pretrained(folder / "Qwen3-Embedding-0.6B")
    pipeline.tokenizer.padding_side = "right"
    return folder
