"""Layer normalization (Ba et al., 2016) and root mean square normalization (Zhang and Sennrich, 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from pairchain_packed import architecture
from pairchain_packed.blocks.block import Block

# A norm, or nothing in its place.
Normalize = Callable[[torch.Tensor], torch.Tensor]


class Norm(Block):
    """Normalizes the last axis.

    Args:
        plan: Its kind.
        size: The size of the axis.
    """

    bias: torch.Tensor | None

    def __init__(self, plan: architecture.Norm, size: int) -> None:
        super().__init__()
        self.plan = plan
        self.weight = nn.Parameter(torch.empty(size))
        self.register_parameter(
            "bias", nn.Parameter(torch.empty(size)) if plan.kind == "layer" and plan.has_bias else None
        )

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return ``states``, of any shape (…, size), normalized; in half precision, computed in float32."""
        if self.plan.kind == "layer":
            return functional.layer_norm(states, self.weight.shape, self.weight, self.bias, self.plan.epsilon)
        wide = states.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.plan.epsilon)
        if self.plan.is_centred:
            return (wide * (1.0 + self.weight.float())).to(states.dtype)
        return self.weight * wide.to(states.dtype)
