"""Attention of the DiT that masks padding, so that tracks of a batch do not affect each other."""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_dispatch import AttentionBackendName
from diffusers.models.embeddings import apply_rotary_emb


class Masks:
    """Attention masks per kind of layer: True where attention is allowed, None if everything is
    valid.

    Filled once per set of rows and read by every layer at every step.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self.full: torch.Tensor | None = None
        self.sliding: torch.Tensor | None = None
        self.cross: torch.Tensor | None = None

    def fill(self, tokens: torch.Tensor, conditions: torch.Tensor) -> None:
        """Set the masks; `tokens` and `conditions` (rows,) are the numbers of valid tokens per
        row."""
        length = int(tokens.max())
        valid = _valid(tokens, length)
        self.full = None if bool(valid.all()) else valid[:, None, None, :]
        self.sliding = self._band(valid, length)
        condition = _valid(conditions, int(conditions.max()))
        self.cross = None if bool(condition.all()) else condition[:, None, None, :]

    def _band(self, valid: torch.Tensor, length: int) -> torch.Tensor | None:
        if length <= self._window + 1 and self.full is None:
            return None
        positions = torch.arange(length, device=valid.device, dtype=torch.int32)
        near = (positions[:, None] - positions[None, :]).abs() <= self._window
        if self.full is None:
            return near[None, None]
        # A padding token attends to itself: an empty softmax would be NaN and spread.
        diagonal = torch.eye(length, dtype=torch.bool, device=valid.device)
        return ((near & valid[:, None, :]) | diagonal)[:, None]


def _valid(counts: torch.Tensor, length: int) -> torch.Tensor:
    return torch.arange(length, device=counts.device)[None, :] < counts[:, None]


class MaskedProcessor:
    """Arithmetic of diffusers' processor, with the masks of the batch instead of the model's.

    `expand_heads` repeats K/V heads, for devices with fused kernels that accept no mask with
    grouped queries.
    """

    # Makes the model skip building its own mask at every step.
    _attention_backend = AttentionBackendName.FLASH_VARLEN
    _parallel_config = None

    def __init__(self, masks: Masks, *, expand_heads: bool) -> None:
        self._masks = masks
        self._expand_heads = expand_heads

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        keys_from = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.norm_q(attn.to_q(hidden_states).unflatten(-1, (attn.heads, attn.head_dim)))
        key = attn.norm_k(attn.to_k(keys_from).unflatten(-1, (attn.kv_heads, attn.head_dim)))
        value = attn.to_v(keys_from).unflatten(-1, (attn.kv_heads, attn.head_dim))
        if encoder_hidden_states is None and image_rotary_emb is not None:
            query, key = _rotated(query, image_rotary_emb), _rotated(key, image_rotary_emb)
        out = self._attend(attn, *(part.transpose(1, 2) for part in (query, key, value)))
        out = out.transpose(1, 2).flatten(2, 3).to(query.dtype)
        result: torch.Tensor = attn.to_out[1](attn.to_out[0](out))
        return result

    def _attend(
        self, attn: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        is_grouped = attn.heads != attn.kv_heads
        if is_grouped and self._expand_heads:
            repeats = attn.heads // attn.kv_heads
            key, value = (part.repeat_interleave(repeats, dim=1) for part in (key, value))
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=self._mask(attn),
            scale=attn.scaling,
            enable_gqa=is_grouped and not self._expand_heads,
        )

    def _mask(self, attn: Any) -> torch.Tensor | None:
        if attn.is_cross_attention:
            return self._masks.cross
        return self._masks.full if attn.sliding_window is None else self._masks.sliding


def _rotated(part: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    # Its annotation says one tensor, but its docstring requires this pair.
    rotate: Any = apply_rotary_emb
    rotated: torch.Tensor = rotate(
        part, angles, use_real=True, use_real_unbind_dim=-2, sequence_dim=1
    )
    return rotated


def install_masks(transformer: Any, *, expand_heads: bool) -> Masks:
    """Replace the processors of an `AceStepTransformer1DModel`; return the masks they read.

    Until `Masks.fill` is called for a batch, its sliding layers use no window.
    """
    masks = Masks(transformer.config.sliding_window)
    for layer in transformer.layers:
        for attention in (layer.self_attn, layer.cross_attn):
            attention.set_processor(MaskedProcessor(masks, expand_heads=expand_heads))
    return masks
