"""Configs of the four diffusers components from the `config.json` of an official ACE-Step 1.5
checkpoint.

In the XL models the conditioning keeps the size of the 2B models; there the official file names its
dimensions `encoder_*`, which the 2B files leave out.
"""

from collections.abc import Mapping
from typing import Any

from trackfarm_worker.models.checkpoint import ModelNotReady

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
