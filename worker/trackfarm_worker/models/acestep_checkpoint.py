"""Configs, tensor names and shapes of an official ACE-Step 1.5 checkpoint, mapped to the components of
diffusers' AceStepPipeline.

The official checkpoint is one state dict of `AceStepConditionGenerationModel` (677 tensors in the
2B models); its modules `decoder`, `encoder`, `tokenizer` and `detokenizer` are four components of
the pipeline. In the XL models the conditioning keeps the size of the 2B models; there the official
`config.json` names its dimensions `encoder_*`, which the 2B files leave out. Sources: the module
definitions of ACE-Step/ACE-Step-1.5 (acestep/models) and of diffusers 0.42
(models/transformers/ace_step_transformer.py, pipelines/ace_step).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from trackfarm_worker.models.checkpoint import ModelNotReady, weight_files

SHARED = (
    "head_dim",
    "rope_theta",
    "attention_bias",
    "attention_dropout",
    "rms_norm_eps",
    "sliding_window",
)
SIZES = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
DIT = ("num_hidden_layers", "in_channels", "audio_acoustic_hidden_dim", "patch_size")
CONDITION = (
    "text_hidden_dim",
    "timbre_hidden_dim",
    "num_lyric_encoder_hidden_layers",
    "num_timbre_encoder_hidden_layers",
)
POOLER = ("audio_acoustic_hidden_dim", "pool_window_size", "num_attention_pooler_hidden_layers")
CODES = ("fsq_dim", "fsq_input_levels", "fsq_input_num_quantizers")
WHOLE_MODULES = {
    "decoder.": "transformer",
    "encoder.": "condition_encoder",
    "tokenizer.": "audio_tokenizer",
    "detokenizer.": "audio_token_detokenizer",
}
SINGLE_TENSORS = {"null_condition_emb": "condition_encoder"}
# Positions are computed on each call.
RECOMPUTED = ".rotary_emb.inv_freq"
ATTENTION = {
    ".q_proj.": ".to_q.",
    ".k_proj.": ".to_k.",
    ".v_proj.": ".to_v.",
    ".o_proj.": ".to_out.0.",
    ".q_norm.": ".norm_q.",
    ".k_norm.": ".norm_k.",
}
# Officially Sequential(transpose, convolution, transpose); in diffusers only the convolution.
PATCHES = {"proj_in.1.": "proj_in_conv.", "proj_out.1.": "proj_out_conv."}
MAX_NAMED = 5  # problems in an error message


@dataclass(frozen=True, slots=True, order=True)
class PipelineTensor:
    """A tensor of a component of the pipeline."""

    component: str
    key: str


@dataclass(frozen=True, slots=True)
class WeightOrigin:
    """An official tensor: its file, key and shape."""

    file: Path
    key: str
    shape: tuple[int, ...]


# Not among the official weights: it has its own file.
SILENCE_TENSOR = PipelineTensor("condition_encoder", "silence_latent")


def component_configs(official: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the keyword arguments of the diffusers modules, by component.

    Raises ModelNotReady when a number is missing or the layers alternate in another order than
    diffusers' encoders assume.
    """
    missing = [
        name
        for name in (*SHARED, *SIZES, *DIT, *CONDITION, *POOLER, *CODES[:2])
        if name not in official
    ]
    if missing:
        raise ModelNotReady(
            f"config.json lacks {', '.join(missing)}: "
            "it does not describe an ACE-Step 1.5 checkpoint"
        )
    _check_layers(official)
    shared = _subset(official, SHARED)
    encoder = shared | _encoder_sizes(official)
    pooler = encoder | _subset(official, POOLER)
    return {
        "transformer": shared | _subset(official, (*SIZES, *DIT)) | _dit_extras(official),
        "condition_encoder": encoder | _subset(official, CONDITION),
        "audio_tokenizer": pooler | _subset(official, CODES),
        "audio_token_detokenizer": pooler,
    }


def pipeline_tensor(official_key: str) -> PipelineTensor | None:
    """Return the tensor of the pipeline with these weights; None for one that diffusers computes.

    Raises KeyError for a tensor of an unknown module.
    """
    if official_key.endswith(RECOMPUTED):
        return None
    if component := SINGLE_TENSORS.get(official_key):
        return PipelineTensor(component, official_key)
    for prefix, component in WHOLE_MODULES.items():
        if official_key.startswith(prefix):
            inner = official_key.removeprefix(prefix)
            return PipelineTensor(component, _renamed(inner, is_dit=component == "transformer"))
    raise KeyError(official_key)


def weight_plan(dit: Path, modules: Mapping[str, nn.Module]) -> dict[str, dict[str, WeightOrigin]]:
    """Return the origin of each tensor except the silence, by component and key.

    Raises ModelNotReady unless each has exactly one origin of the right shape, and none is left
    over.
    """
    plan, problems = _assign_origins(modules, dit)
    for name, module in modules.items():
        problems += _mismatches(name, module, plan[name])
    if problems:
        others = f" and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
        raise ModelNotReady(
            f"{dit} does not hold the weights that its config.json describes: "
            f"{'; '.join(problems[:MAX_NAMED])}{others}. Download it again, or use a checkpoint in "
            "diffusers layout."
        )
    return plan


def read_tensor(origin: WeightOrigin) -> torch.Tensor:
    """Return the tensor itself, on the CPU."""
    with safe_open(origin.file, framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(origin.key)
    return tensor


def _subset(official: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: official[name] for name in names if name in official}


def _encoder_sizes(official: Mapping[str, Any]) -> dict[str, Any]:
    return {name: official.get(f"encoder_{name}", official[name]) for name in SIZES}


def _dit_extras(official: Mapping[str, Any]) -> dict[str, Any]:
    condition_size = _encoder_sizes(official)["hidden_size"]
    is_wider = condition_size != official["hidden_size"]
    return {
        "layer_types": official.get("layer_types"),
        "encoder_hidden_size": condition_size if is_wider else None,
        "is_turbo": bool(official.get("is_turbo", False)),
        "model_version": official.get("model_version"),
    }


def _check_layers(official: Mapping[str, Any]) -> None:
    types = official.get("layer_types") or []
    expected = ["full_attention" if i % 2 else "sliding_attention" for i in range(len(types))]
    if types != expected:
        raise ModelNotReady(
            "config.json orders its attention layers in a way that this version does not support; "
            "use a checkpoint in diffusers layout"
        )


def _renamed(key: str, *, is_dit: bool) -> str:
    for old, new in ATTENTION.items():
        key = key.replace(old, new)
    if is_dit:
        for old, new in PATCHES.items():
            key = new + key.removeprefix(old) if key.startswith(old) else key
    return key


def _assign_origins(
    modules: Mapping[str, nn.Module], dit: Path
) -> tuple[dict[str, dict[str, WeightOrigin]], list[str]]:
    plan: dict[str, dict[str, WeightOrigin]] = {name: {} for name in modules}
    problems = []
    for origin in _origins(dit):
        try:
            tensor = pipeline_tensor(origin.key)
        except KeyError:
            problems.append(f"unknown tensor {origin.key}")
            continue
        if tensor is not None and tensor.key in plan[tensor.component]:
            problems.append(f"{origin.key} occurs twice")
        elif tensor is not None:
            plan[tensor.component][tensor.key] = origin
    return plan, problems


def _origins(dit: Path) -> Iterator[WeightOrigin]:
    for name in weight_files(dit):
        with safe_open(dit / name, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                yield WeightOrigin(dit / name, key, tuple(file.get_slice(key).get_shape()))


def _mismatches(name: str, module: nn.Module, origins: Mapping[str, WeightOrigin]) -> Iterator[str]:
    expected = {
        key: tuple(tensor.shape)
        for key, tensor in module.state_dict().items()
        if PipelineTensor(name, key) != SILENCE_TENSOR
    }
    for key in sorted(expected.keys() | origins.keys()):
        if key not in origins:
            yield f"{name}.{key} is missing"
        elif key not in expected:
            yield f"{origins[key].key} does not belong to {name}"
        elif origins[key].shape != expected[key]:
            yield f"{origins[key].key} has shape {origins[key].shape}, not {expected[key]}"
