"""What makes an `AceStepPipeline` faster without making it another one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_oobleck import Snake1d
from torch.nn.utils import remove_weight_norm

from trackfarm_worker.engine.options import Options


def fold_weight_norm(vae: Any) -> None:
    """Computes normalised weights once instead of at every pass; exact, and idempotent."""
    for module in vae.modules():
        if hasattr(module, "weight_g"):
            remove_weight_norm(module)


def accelerate(pipeline: Any, options: Options) -> None:
    """Folds weights always; compiles what the options say."""
    fold_weight_norm(pipeline.vae)
    if options.compile_transformer:
        # Lengths change from batch to batch: shapes are symbols, so that few graphs are built.
        pipeline.transformer.compile(dynamic=True)
    if options.compile_decoder:
        for module in pipeline.vae.decoder.modules():
            if isinstance(module, Snake1d):
                module.compile(dynamic=True)


def offload_conditioning(pipeline: Any) -> None:
    """Moves to the CPU what reads texts; the rest of a pass stays where it is."""
    for part in (pipeline.text_encoder, pipeline.condition_encoder):
        part.to("cpu")


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """For the length of the context the model's weights are float32, which no weight loses by."""
    before = model.dtype
    try:
        model.to(torch.float32)
        yield
    finally:
        model.to(before)
