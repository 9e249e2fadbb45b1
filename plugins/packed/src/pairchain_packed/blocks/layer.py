"""One layer: attention, then the position-wise network, each added to its input."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pairchain_packed.architecture import Architecture
from pairchain_packed.batch import Batch, End
from pairchain_packed.blocks.attention import Attention
from pairchain_packed.blocks.block import Block
from pairchain_packed.blocks.mlp import Mlp
from pairchain_packed.blocks.norm import Norm, Normalize


class Layer(Block):
    """A layer.

    Args:
        plan: The model.
        number: The number of the layer, from 0.
    """

    def __init__(self, plan: Architecture, number: int) -> None:
        super().__init__()
        self.plan = plan.layers[number]
        self.norms_after = plan.norms == "after"
        self.attention = Attention(plan.attention, plan.size)
        self.mlp = Mlp(plan.mlp, plan.size)
        self.attention_norm: Normalize = Norm(plan.norm, plan.size) if self.plan.norm_first else nn.Identity()
        self.mlp_norm = Norm(plan.norm, plan.size)
        is_between = plan.norms == "both"
        self.attention_output_norm: Normalize = Norm(plan.norm, plan.size) if is_between else nn.Identity()
        self.mlp_output_norm: Normalize = Norm(plan.norm, plan.size) if is_between else nn.Identity()

    def forward(self, states: torch.Tensor, batch: Batch, *, at: End | None = None, **reading: Any) -> torch.Tensor:
        """Return the states after this layer: (tokens, size), or (inputs, size) with ``at``.

        Args:
            states: Shape (tokens, size).
            batch: The inputs.
            at: The one token of each input that is wanted; None for all tokens.
            **reading: As for `Attention.forward`.
        """
        below = states if self.norms_after else self.attention_norm(states)
        read = self.attention(below, batch, window=self.plan.window, at=at, **reading)
        if at is not None:
            states = states[batch.ends(at)]
        if self.norms_after:
            states = self.attention_norm(states + read)
            return self.mlp_norm(states + self.mlp(states))
        states = states + self.attention_output_norm(read)
        return states + self.mlp_output_norm(self.mlp(self.mlp_norm(states)))
