"""A model that computes inputs without padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pairchain_packed.architecture import Architecture
from pairchain_packed.architecture import Head as HeadPlan
from pairchain_packed.batch import Batch
from pairchain_packed.blocks.attention import KeysAndValues
from pairchain_packed.blocks.embedding import Embedding
from pairchain_packed.blocks.head import Head
from pairchain_packed.blocks.layer import Layer
from pairchain_packed.blocks.norm import Norm
from pairchain_packed.blocks.rotary import Turn


class PackedModel(nn.Module):
    """Embedding, layers and head.

    Args:
        plan: The model.
        head: The head of its task.
    """

    def __init__(self, plan: Architecture, head: HeadPlan) -> None:
        super().__init__()
        self.plan = plan
        self.embedding = Embedding(plan.embedding, plan.size)
        self.layers = nn.ModuleList(Layer(plan, number) for number in range(len(plan.layers)))
        self.norm = Norm(plan.norm, plan.size) if plan.has_final_norm else nn.Identity()
        self.head = Head(head, plan.size)

    def forward(
        self,
        batch: Batch,
        *,
        wanted: torch.Tensor | None = None,
        columns: torch.Tensor | None = None,
        before: Sequence[KeysAndValues] | None = None,
    ) -> torch.Tensor:
        """Return the outputs for a batch.

        Args:
            batch: The inputs.
            wanted: For one token of each input, its index among the tokens; None for all tokens.
            columns: Indices of the outputs to compute; None for all.
            before: For each layer, the keys and values of the tokens before each input.

        Returns:
            Shape (inputs, outputs) with ``wanted`` or for a head that reads a mean, else (tokens, outputs).
        """
        states = self._states(batch, wanted, before, None)
        if self.head.plan.reads == "mean":
            states = torch.stack([part.mean(dim=0) for part in states.split(list(batch.lengths))])
        return self.head(states, self.embedding.tokens, columns)

    def keys_and_values(self, ids: torch.Tensor) -> list[KeysAndValues]:
        """Return the keys and values of each layer for one input, of token ids of shape (tokens,)."""
        kept: list[KeysAndValues] = []
        batch = Batch(ids, [len(ids)])
        self._states(batch, batch.lasts, None, kept)
        return kept

    def _states(
        self,
        batch: Batch,
        wanted: torch.Tensor | None,
        before: Sequence[KeysAndValues] | None,
        keep: list[KeysAndValues] | None,
    ) -> torch.Tensor:
        states = self.embedding(batch)
        turns = {
            layer.plan.rotary: Turn(layer.plan.rotary, self.plan.attention.head_size, batch.positions, states.dtype)
            for layer in self.layers
            if layer.plan.rotary
        }
        for number, layer in enumerate(self.layers):
            states = layer(
                states,
                batch,
                wanted=wanted if number == len(self.layers) - 1 else None,
                turn=turns.get(layer.plan.rotary),
                before=before[number] if before else None,
                keep=keep,
            )
        return self.norm(states)
