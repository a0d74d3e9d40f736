"""Halves the memory of a network: linear layers keep their weights as 8-bit integers.

One scale for each output, symmetric, the nearest of 255 steps; inputs and sums stay as they are
(weight-only quantisation). Own code because it is one multiplication: torchao 0.18 computes the same,
and diffusers 0.42 cannot read its tensors.
"""

import torch
from torch import nn

STEPS = 127


class Int8Linear(nn.Module):
    """Computes in the type of its input. `scale` is rounded before the weights are, so that nothing
    is lost by it."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        full = linear.weight.detach()
        largest = full.float().abs().amax(dim=1, keepdim=True)
        scale = (largest / STEPS).clamp_min(torch.finfo(full.dtype).tiny).to(full.dtype)
        steps = torch.round(full.float() / scale.float()).clamp(-STEPS, STEPS)
        self.register_buffer("weight", steps.to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        weight = self.weight.to(inputs.dtype) * self.scale.to(inputs.dtype)
        return nn.functional.linear(inputs, weight, self.bias)


def shrink(model: nn.Module) -> None:
    """Replaces all linear layers, one after the other, so that both forms of the whole never are
    in memory."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))
