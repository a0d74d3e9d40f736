"""Optimisations of an `AceStepPipeline` that keep its behaviour."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_oobleck import Snake1d
from torch.nn.utils import remove_weight_norm

from trackfarm_worker.engine.options import EngineOptions


def fold_weight_norm(vae: Any) -> None:
    """Compute normalised weights once instead of at every pass; exact and idempotent."""
    for module in vae.modules():
        if hasattr(module, "weight_g"):
            remove_weight_norm(module)


def accelerate(pipeline: Any, options: EngineOptions) -> None:
    """Fold weights always; compile the modules selected by the options."""
    fold_weight_norm(pipeline.vae)
    if options.compile_transformer:
        # Lengths change from batch to batch: dynamic shapes keep the number of graphs small.
        pipeline.transformer.compile(dynamic=True)
    if options.compile_decoder:
        for module in pipeline.vae.decoder.modules():
            if isinstance(module, Snake1d):
                module.compile(dynamic=True)


def offload_conditioning(pipeline: Any) -> None:
    """Move the text and condition encoders to the CPU; the other parts stay on their device."""
    for part in (pipeline.text_encoder, pipeline.condition_encoder):
        part.to("cpu")


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Keep the model's weights in float32 for the duration of the context. The conversion is
    lossless."""
    previous = model.dtype
    try:
        model.to(torch.float32)
        yield
    finally:
        model.to(previous)
