"""What follows the last layer: a classifier, a language model's head, or nothing."""

from __future__ import annotations

import torch
from torch.nn import functional

from pairchain_packed import architecture
from pairchain_packed.blocks.activation import FUNCTIONS
from pairchain_packed.blocks.block import Block
from pairchain_packed.blocks.linear import Linear
from pairchain_packed.blocks.norm import Norm


class Head(Block):
    """Turns hidden states into outputs.

    Args:
        plan: Its layers.
        size: The size of a hidden state.
    """

    def __init__(self, plan: architecture.Head, size: int) -> None:
        super().__init__()
        self.plan = plan
        self.inner = Linear(size, size, has_bias=plan.has_inner_bias) if plan.inner else None
        self.norm = Norm(plan.norm, size) if plan.norm else None
        self.pooler = Linear(size, size) if plan.has_pooler else None
        self.output = Linear(size, plan.width, has_bias=plan.has_bias) if plan.width and not plan.is_tied else None

    def forward(
        self, states: torch.Tensor, embeddings: torch.Tensor, columns: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the outputs.

        Args:
            states: Shape (…, size).
            embeddings: The token embeddings, for a head that shares their weights.
            columns: Indices of the outputs to compute; None for all.

        Returns:
            Shape (…, outputs).
        """
        plan = self.plan
        if self.inner is not None and plan.inner is not None:
            states = FUNCTIONS[plan.inner](self.inner(states))
        if self.norm is not None:
            states = self.norm(states)
        if not plan.width:
            return states if columns is None else states[..., columns]
        weight, bias = (embeddings, None) if self.output is None else (self.output.weight, self.output.bias)
        if columns is not None:
            weight, bias = weight[columns], None if bias is None else bias[columns]
        outputs = functional.linear(states, weight, bias)
        return outputs if plan.cap is None else torch.tanh(outputs / plan.cap) * plan.cap
