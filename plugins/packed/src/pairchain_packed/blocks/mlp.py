"""The position-wise network of a layer, plain or gated (Shazeer, 2020)."""

from __future__ import annotations

import torch

from pairchain_packed import architecture
from pairchain_packed.blocks.activation import FUNCTIONS
from pairchain_packed.blocks.block import Block
from pairchain_packed.blocks.linear import Linear


class Mlp(Block):
    """Two linear layers with an activation between them.

    Args:
        plan: Its inner layer.
        size: The size of a hidden state.
    """

    def __init__(self, plan: architecture.Mlp, size: int) -> None:
        super().__init__()
        self.activation = plan.activation
        self.is_gated = plan.is_gated
        self.inner = Linear(size, *(plan.size,) * (1 + plan.is_gated), has_bias=plan.has_bias)
        self.output = Linear(plan.size, size, has_bias=plan.has_bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return the states of the next sum, shape (…, size)."""
        if not self.is_gated:
            return self.output(self.inner(states, activation=self.activation))
        gate, value = self.inner(states).chunk(2, dim=-1)
        return self.output(FUNCTIONS[self.activation](gate) * value)
