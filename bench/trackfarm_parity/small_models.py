"""Small models in the official layout: their configurations, and weights that every machine makes the
same."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 16
SILENCE = ("silence_latent", (1, 8, 15_000))
# Not scaled by their size: they are states of the model rather than weights of a sum.
STATES = ("special_token", "special_tokens", "null_condition_emb", "silence_latent")

_CONDITION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
_STANDARD: dict[str, Any] = _CONDITION | {
    "num_hidden_layers": 4,
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
}
_WIDER: dict[str, Any] = (
    _STANDARD
    | {"hidden_size": 48, "intermediate_size": 96}
    | {"num_attention_heads": 6, "num_key_value_heads": 3}
    | {f"encoder_{name}": value for name, value in _CONDITION.items()}
)
# By the row of model_sets.toml whose rules the model follows.
CONFIGS: Mapping[str, dict[str, Any]] = {
    "acestep-v15-turbo": _STANDARD | {"is_turbo": True, "model_version": "turbo"},
    "acestep-v15-base": _STANDARD | {"is_turbo": False, "model_version": "base"},
    "acestep-v15-xl-turbo": _WIDER | {"is_turbo": True, "model_version": "turbo"},
    "acestep-v15-xl-base": _WIDER | {"is_turbo": False, "model_version": "base"},
}


def weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the weights of an official tensor: uniform, of variance 1 / fan-in, norms around 1."""
    random = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(name.encode())]))
    count = int(np.prod(shape))
    uniform = (random.random(count, dtype=np.float32) * 2 - 1).reshape(shape)
    if len(shape) == 1:
        return np.float32(0.1) * uniform + np.float32(0.0 if name.endswith("bias") else 1.0)
    size = 1 if name.rpartition(".")[2] in STATES else count // shape[0]
    return np.float32(np.sqrt(3.0 / size)) * uniform


def noise(name: str, samples: int) -> NDArray[np.float32]:
    """Return stereo noise (samples, 2) as source audio."""
    random = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(name.encode())]))
    uniform = random.random(2 * samples, dtype=np.float32) * 2 - 1
    return np.float32(0.4) * uniform.reshape(samples, 2)
