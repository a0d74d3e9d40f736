"""Conversion of an official ACE-Step 1.5 checkpoint to the layout of `AceStepPipeline`.

Every tensor that diffusers' modules declare is taken from exactly one official tensor; otherwise
the conversion fails before it writes anything. diffusers' own script for this leaves out the audio
tokenizer, the detokenizer and the scheduler; covers need them.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import diffusers
import torch
import transformers
from diffusers.pipelines import ace_step
from safetensors.torch import save_file
from torch import nn

from trackfarm_worker.models.acestep_checkpoint import (
    SILENCE_TENSOR,
    WeightOrigin,
    component_configs,
    read_tensor,
    weight_plan,
)
from trackfarm_worker.models.checkpoint import ModelNotReady, weight_files
from trackfarm_worker.models.layout import SILENCE, OfficialLayout
from trackfarm_worker.models.pipeline_parts import pipeline_scheduler

# Type checkers see only placeholders in these libraries.
df: Any = diffusers
hf: Any = transformers
parts: Any = ace_step

OnProgress = Callable[[str], None]

MODULES = {
    "transformer": ("diffusers", df.AceStepTransformer1DModel),
    "condition_encoder": ("ace_step", parts.AceStepConditionEncoder),
    "audio_tokenizer": ("ace_step", parts.AceStepAudioTokenizer),
    "audio_token_detokenizer": ("ace_step", parts.AceStepAudioTokenDetokenizer),
}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def convert(official: OfficialLayout, into: Path, *, dtype: str, on_progress: OnProgress) -> None:
    """Write all eight components below `into`; the weights of the DiT's file in `dtype`.

    Needs memory for the largest component. Raises ModelNotReady when the files are not from an
    ACE-Step 1.5 model.
    """
    modules = meta_modules(component_configs(_config(official.dit)))
    plan = weight_plan(official.dit, modules)
    for name, module in modules.items():
        on_progress(f"converting {name} ({len(plan[name])} tensors)")
        _write_component(into / name, module, plan[name], official.dit, getattr(torch, dtype))
    on_progress("copying vae, text_encoder and tokenizer")
    _copy_model(official.vae, into / "vae")
    _copy_model(official.text_encoder, into / "text_encoder")
    tokenizer = _write_tokenizer(official.text_encoder, into / "tokenizer")
    pipeline_scheduler().save_pretrained(into / "scheduler")
    (into / "model_index.json").write_text(json.dumps(_index(tokenizer), indent=2))


def meta_modules(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, nn.Module]:
    """Return the four modules of the DiT's file without allocating their weights."""
    with torch.device("meta"):
        return {name: MODULES[name][1](**config) for name, config in configs.items()}


def _config(dit: Path) -> dict[str, Any]:
    try:
        content = json.loads((dit / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelNotReady(f"{dit}/config.json cannot be read: {error}") from error
    # An unset field may be written as null; ACE-Step's own code reads that as absent.
    is_object = isinstance(content, dict)
    return {k: v for k, v in content.items() if v is not None} if is_object else {}


def _write_component(
    folder: Path, module: nn.Module, plan: Mapping[str, WeightOrigin], dit: Path, dtype: torch.dtype
) -> None:
    tensors = {key: read_tensor(origin).to(dtype) for key, origin in plan.items()}
    if folder.name == SILENCE_TENSOR.component:
        shape = module.state_dict()[SILENCE_TENSOR.key].shape
        tensors[SILENCE_TENSOR.key] = _silence(dit / SILENCE, shape).to(dtype)
    folder.mkdir(parents=True)
    writer: Any = module
    writer.save_config(folder)
    save_file(
        {key: tensor.contiguous() for key, tensor in tensors.items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )


def _silence(path: Path, shape: torch.Size) -> torch.Tensor:
    """Return the encoded silence as (1, time, width); the official file stores (1, width, time)."""
    # A pickle can run code; `weights_only` reads nothing but tensors.
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelNotReady(f"{path} does not hold just a tensor: {error}") from error
    if not isinstance(stored, torch.Tensor) or stored.dim() != 3:
        raise ModelNotReady(f"{path} does not hold a single three-dimensional tensor")
    transposed = stored.transpose(1, 2)
    if transposed.shape != shape:
        raise ModelNotReady(f"{path} has shape {tuple(stored.shape)}, not (1, width, time)")
    return transposed


def _copy_model(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for name in ["config.json", *weight_files(source)]:
        shutil.copyfile(source / name, target / name)
    for index in source.glob("*.safetensors.index.json"):
        shutil.copyfile(index, target / index.name)


def _write_tokenizer(source: Path, target: Path) -> str:
    """Write the tokenizer and return the name of its class."""
    tokenizer = hf.AutoTokenizer.from_pretrained(source, local_files_only=True)
    # The text encoder gets no attention mask, so padding has to come last.
    tokenizer.padding_side = "right"
    tokenizer.save_pretrained(target)
    return type(tokenizer).__name__


def _index(tokenizer: str) -> dict[str, Any]:
    networks = {name: [library, kind.__name__] for name, (library, kind) in MODULES.items()}
    return {
        "_class_name": "AceStepPipeline",
        "_diffusers_version": diffusers.__version__,
        **networks,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3Model"],
        "tokenizer": ["transformers", tokenizer],
        "vae": ["diffusers", "AutoencoderOobleck"],
    }
