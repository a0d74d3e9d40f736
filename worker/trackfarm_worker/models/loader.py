"""One door to every model set: the tiny one, a folder, or a repository of the hub."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from trackfarm.model_sets import ModelSet
from trackfarm_worker.models import tiny
from trackfarm_worker.models.checkpoint import COMPONENTS, ModelNotReady, check
from trackfarm_worker.models.digests import component_digests


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An `AceStepPipeline` in eval mode on its device, and what it was loaded from."""

    pipeline: Any
    folder: Path
    digests: dict[str, str]


def load(
    model_set: ModelSet, source: Path | None, *, device: str, dtype: str | None = None
) -> LoadedModel:
    """Loads `source`, or what the model set names; `dtype` defaults to the model set's.

    For `tiny`, `source` is the folder that holds cached models. Only safetensors are read, so no
    weights file can run code. Raises ModelNotReady when weights are missing, cut short or in
    another layout.
    """
    folder = locate(model_set, source)
    check(folder)
    library: Any = diffusers  # For a type checker it consists of placeholders.
    pipeline = library.AceStepPipeline.from_pretrained(
        folder,
        dtype=getattr(torch, dtype or model_set.dtype),
        use_safetensors=True,
        local_files_only=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    return LoadedModel(pipeline.to(device), folder, component_digests(folder))


def locate(model_set: ModelSet, source: Path | None) -> Path:
    """The folder with the weights; builds or downloads them when nobody named one."""
    if model_set.is_noise:
        return tiny.ensure(source)
    if source is not None:
        return source
    if not model_set.is_diffusers_layout:
        raise ModelNotReady(
            f"{model_set.repository} is not in diffusers layout: convert it with diffusers' "
            "scripts/convert_ace_step_to_diffusers.py and point the worker at the folder."
        )
    return _download(model_set)


def _download(model_set: ModelSet) -> Path:
    try:
        return Path(
            snapshot_download(
                model_set.repository,
                revision=model_set.revision,
                allow_patterns=["model_index.json", *_patterns()],
                local_files_only=os.environ.get("HF_HUB_OFFLINE") == "1",
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelNotReady(
            f"{model_set.repository}@{model_set.revision} could not be downloaded "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). Check the network and "
            f"{model_set.download_gb} GB of free disk, or point the worker at a local folder."
        ) from error


def _patterns() -> list[str]:
    suffixes = ("json", "safetensors", "txt", "model")
    return [f"{component}/*.{suffix}" for component in COMPONENTS for suffix in suffixes]
