"""Weight-only int8 quantisation of linear layers, which halves the memory of a network.

One symmetric scale per output, rounded to the nearest of 255 steps; inputs and sums keep their
type. Own code because it is one multiplication: torchao 0.18 computes the same, and diffusers 0.42
cannot read its tensors.
"""

import torch
from torch import nn

STEPS = 127


class Int8Linear(nn.Module):
    """Linear layer that computes in the type of its input. `scale` is rounded before the weights
    are, so that its rounding loses nothing."""

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


def quantise_linear_layers(model: nn.Module) -> None:
    """Replace all linear layers one by one, so that the full and the int8 weights of the whole
    network are never in memory together."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))
