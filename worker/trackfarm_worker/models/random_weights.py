"""Random weights with which an ACE-Step pipeline makes finite noise of about full scale."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

# Gains of weight-normalised layers: so small a residual gain keeps float32 errors below 1e-6,
# and the last layer then peaks at about 0.7.
RESIDUAL_GAIN = 0.25
LAST_GAIN = 0.5


def weights_to_fill(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors to fill randomly; set the others to values that leave a signal
    unchanged."""
    for name, tensor in module.state_dict(keep_vars=True).items():
        if name.endswith("weight_g"):
            tensor.data.fill_(_gain(name))
        elif name.endswith(".bias"):
            tensor.data.zero_()
        elif tensor.dim() > 1 and not name.endswith((".alpha", ".beta")):
            yield name, tensor


def uniform_bound(name: str, tensor: torch.Tensor) -> float:
    """Return the bound of a uniform distribution on ±bound with variance 1 / fan-in; latents have
    variance 1."""
    if name in {"silence_latent", "null_condition_emb"}:
        return float(np.sqrt(3.0))
    return float(np.sqrt(3.0 / tensor[0].numel()))


def _gain(name: str) -> float:
    if name == "decoder.conv2.weight_g":
        return LAST_GAIN
    return RESIDUAL_GAIN if ".res_unit" in name and ".conv2." in name else 1.0
