"""Loading of every model set: a built-in one, a folder, or a repository of the hub."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch
from torch import nn

from trackfarm import tiers
from trackfarm.model_sets import ModelSet
from trackfarm.tiers import Residency
from trackfarm_worker.models import built_in
from trackfarm_worker.models.cache import is_present, model_folder
from trackfarm_worker.models.checkpoint import check_integrity
from trackfarm_worker.models.download import pull
from trackfarm_worker.models.quantize import quantise_linear_layers

OFFLOADED = ("text_encoder", "condition_encoder")
CPU_WINDOW = 256


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An `AceStepPipeline` in eval mode on its device, with the folder and digests of its
    weights."""

    pipeline: Any
    folder: Path
    digests: dict[str, str]
    residency: Residency


def load(
    model_set: ModelSet,
    model_path: Path | None,
    *,
    device: str,
    dtype: str | None = None,
    residency: Residency | None = None,
    weights: Literal["full", "int8"] | None = None,
) -> LoadedModel:
    """Load `model_path`, or the weights named by the model set; `dtype` defaults to the model set's,
    `residency` to that of the GPU's tier, and `weights` to the residency's.

    For a built-in model set, `model_path` is the folder that holds cached models. Only safetensors are read, so no
    weights file can run code. Raises ModelNotReady when weights are missing, truncated, changed
    since they were pulled, or in another layout.
    """
    folder = locate(model_set, model_path)
    integrity = check_integrity(folder)
    _log(integrity.remark)
    library: Any = diffusers  # Type checkers see only placeholders.
    pipeline = library.AceStepPipeline.from_pretrained(
        folder,
        dtype=getattr(torch, dtype or model_set.dtype),
        use_safetensors=True,
        local_files_only=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    chosen = residency or _residency(model_set, device)
    if weights is not None:
        chosen = replace(chosen, int8=weights == "int8")
    if chosen.int8:
        quantise_linear_layers(pipeline.transformer)
    move_to_device(pipeline, device, offload=chosen.offload)
    return LoadedModel(pipeline, folder, integrity.components, chosen)


def move_to_device(pipeline: Any, device: str, *, offload: bool) -> None:
    """Move an `AceStepPipeline` to a device, except the text readers if they are offloaded: a GPU
    that cannot hold everything then never has to."""
    for name, part in pipeline.components.items():
        if isinstance(part, nn.Module) and not (offload and name in OFFLOADED):
            part.to(device)


def _residency(model_set: ModelSet, device: str) -> Residency:
    if not device.startswith("cuda"):
        return Residency(offload=False, window=CPU_WINDOW)
    card = torch.cuda.get_device_properties(torch.device(device))
    return tiers.residency(model_set, card.total_memory >> 20)


def locate(model_set: ModelSet, model_path: Path | None) -> Path:
    """Return the folder with the weights. Without a `model_path` it is the one in this machine's cache,
    and the weights are pulled if it is missing."""
    if model_set.is_built_in:
        return built_in.ensure(model_set, model_path)
    if model_path is not None:
        return model_path
    stored = model_folder(model_set)
    return stored if is_present(stored) else pull(model_set, on_progress=_log).folder


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
