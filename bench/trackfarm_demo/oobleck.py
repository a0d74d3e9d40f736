"""Setting of weights by hand in diffusers' AutoencoderOobleck."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_oobleck import Snake1d
from numpy.typing import NDArray
from torch import nn

Numbers = NDArray[np.floating[Any]]

NO_SNAKE = -20.0  # log of alpha: sin(e^-20 v)² / e^0 is nothing, so the snake passes v on
TINY = 1e-3
NEGLIGIBLE = 1e-12


def set_convolution(layer: Any, weight: Numbers, bias: Numbers | None = None) -> None:
    """Set the weights of a weight-normalised convolution, and its bias (zero if not given).

    `weight` has the layer's shape: (out, in, kernel), transposed (in, out, kernel).
    """
    values = torch.from_numpy(np.ascontiguousarray(weight, np.float32))
    norms = values.flatten(1).norm(dim=1).reshape(-1, 1, 1)
    is_empty = norms < NEGLIGIBLE
    directions = values.clone()
    directions[is_empty.flatten()] = TINY  # a direction of length 0 would be divided by 0
    layer.weight_v.data.copy_(directions)
    layer.weight_g.data.copy_(torch.where(is_empty, torch.zeros_like(norms), norms))
    if layer.bias is not None:
        zeros = np.zeros(layer.bias.shape)
        layer.bias.data.copy_(
            torch.from_numpy((zeros if bias is None else bias).astype(np.float32))
        )


def neutralise(part: nn.Module) -> None:
    """Make every snake pass its input on, and every convolution (and residual unit) add nothing."""
    for module in part.modules():
        if isinstance(module, Snake1d):
            module.alpha.data.fill_(NO_SNAKE)
            module.beta.data.zero_()
        if isinstance(weight := getattr(module, "weight_v", None), torch.Tensor):
            set_convolution(module, np.zeros(weight.shape))


def set_snake(snake: Any, channels: Iterable[int], log_alpha: float, log_beta: float) -> None:
    """Set v + sin(alpha v)² / beta on these channels."""
    for channel in channels:
        snake.alpha.data[0, channel, 0] = log_alpha
        snake.beta.data[0, channel, 0] = log_beta


def hann(samples: int, *, is_normalised: bool = False) -> Numbers:
    """Return a sin² window between the samples: shifted by half its length it adds up to 1."""
    window: Numbers = np.sin(np.pi * (np.arange(samples) + 0.5) / samples) ** 2
    return window / window.sum() if is_normalised else window
