"""Small official checkpoint, made from the tiny pipeline with the names of `official_inventory`."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.worker.models.official_inventory import inventory
from trackfarm_parity.small_models import CONFIGS

DIT = "acestep-v15-sft"
LAYERS = {"dit": 4, "lyric": 2, "timbre": 2, "pooler": 2}
CONFIG = CONFIGS["acestep-v15-base"]


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
