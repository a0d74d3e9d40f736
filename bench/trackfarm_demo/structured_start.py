"""Weights at the beginning of the demo model's training.

From random weights alone two million parameters do not learn in minutes to choose one of 28 tempi.
So all that is known is written down: alike rows of the embedding, nothing of lyrics and references,
the places of noise, context and velocity in the residual stream, and a circuit that reads the clock.
"""

from typing import Any

import torch
from torch import nn

from trackfarm_demo.clock import clock
from trackfarm_demo.clock_circuit import build_clock_circuit
from trackfarm_demo.latents import CHANNELS, PATCH, PATCH_NUMBERS
from trackfarm_demo.vocabulary import class_indices, class_rows, vocabulary
from trackfarm_worker.models.demo import CLOCK_FRAMES, TEXT_WIDTH, trained_networks

GATES = [2, 5]  # rows of a layer's scale_shift_table: the gates of its attention and its MLP


def start_networks(seed: int) -> dict[str, nn.Module]:
    """Return text encoder, transformer and condition encoder, ready to be trained."""
    torch.manual_seed(seed)
    classes = vocabulary()
    networks = trained_networks(len(classes))
    with torch.no_grad():
        rows = torch.from_numpy(class_rows(classes)[class_indices(classes)])
        _start_text_encoder(networks["text_encoder"], rows)
        _start_condition_encoder(networks["condition_encoder"])
        _start_transformer(networks["transformer"])
        build_clock_circuit(networks["transformer"])
    return networks


def _start_text_encoder(encoder: Any, rows: torch.Tensor) -> None:
    encoder.embed_tokens.weight.copy_(rows)
    for layer in encoder.layers:  # almost the identity: a token is a whole fact already
        layer.self_attn.o_proj.weight.mul_(0.1)
        layer.mlp.down_proj.weight.mul_(0.1)


def _start_condition_encoder(encoder: Any) -> None:
    encoder.text_projector.weight.copy_(torch.eye(TEXT_WIDTH))
    # Norms of 0 make lyrics and timbre zero vectors: the model hears nothing of them.
    encoder.lyric_encoder.norm.weight.zero_()
    encoder.timbre_encoder.norm.weight.zero_()
    encoder.null_condition_emb.zero_()
    # Stored as float16, so trained as that.
    encoder.silence_latent.copy_(torch.from_numpy(clock(0, CLOCK_FRAMES)).half().float()[None])


def _start_transformer(dit: Any) -> None:
    _start_patches(dit)
    for layer in dit.layers:
        layer.scale_shift_table.zero_()
        layer.scale_shift_table[:, GATES] = 1
        layer.self_attn.to_out[0].weight.mul_(0.3)
        layer.cross_attn.to_out[0].weight.mul_(0.5)
        layer.mlp.down_proj.weight.mul_(0.5)
    dit.scale_shift_table.zero_()
    for embedding in (dit.time_embed, dit.time_embed_r):
        embedding.time_proj.weight.mul_(0.2)
        embedding.time_proj.bias.zero_()
        embedding.linear_2.weight.mul_(0.2)
    # A turbo pipeline gives it t - t, so it would be a constant.
    for parameter in dit.time_embed_r.parameters():
        parameter.zero_()
    dit.condition_embedder.bias.zero_()


def _start_patches(dit: Any) -> None:
    """Lay the noisy latents of a patch into the first 64 columns of the residual stream, the
    context (the clock, or the kept part of a repaint) into the next 64, and read the velocity from the
    first. Inputs come as context, mask and noisy latents."""
    into, out = dit.proj_in_conv.weight, dit.proj_out_conv.weight
    into.mul_(0.3)
    into[: 2 * PATCH_NUMBERS] = 0
    out.mul_(0.1)
    out[:PATCH_NUMBERS] = 0
    dit.proj_in_conv.bias.zero_()
    dit.proj_out_conv.bias.zero_()
    for frame in range(PATCH):
        for channel in range(CHANNELS):
            column = frame * CHANNELS + channel
            into[column, 2 * CHANNELS + channel, frame] = 0.5
            into[PATCH_NUMBERS + column, channel, frame] = 1
            out[column, channel, frame] = 1
