"""The embeddings of tokens, positions and token types."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from pairchain_packed import architecture
from pairchain_packed.batch import Batch
from pairchain_packed.blocks.block import Block
from pairchain_packed.blocks.linear import Linear
from pairchain_packed.blocks.norm import Norm


class EmbeddingTable(Block):
    """A table of vectors.

    Args:
        entries: Their number.
        size: The size of each.
    """

    def __init__(self, entries: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(entries, size))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the vectors at ``ids``, shape (…, size)."""
        return functional.embedding(ids, self.weight)


class Embedding(Block):
    """The first hidden states.

    Args:
        plan: Its tables.
        size: The size of a hidden state.
    """

    def __init__(self, plan: architecture.Embedding, size: int) -> None:
        super().__init__()
        self.plan = plan
        self.tokens = EmbeddingTable(plan.tokens, plan.size)
        self.positions = EmbeddingTable(plan.positions, plan.size) if plan.positions else None
        self.types = EmbeddingTable(plan.types, plan.size) if plan.types else None
        self.norm = Norm(plan.norm, plan.size) if plan.norm else None
        self.project = Linear(plan.size, size) if plan.size != size else None

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the states of a batch, shape (tokens, size)."""
        states = self.tokens(batch.ids)
        if self.plan.scale != 1.0:
            # the factor is rounded to the dtype of the states, as Gemma was trained
            states = states * torch.tensor(self.plan.scale, dtype=states.dtype, device=states.device)
        if self.types is not None:
            states = states + (self.types.weight[0] if batch.types is None else self.types(batch.types))
        if self.positions is not None:
            states = states + self.positions(self._positions(batch))
        if self.norm is not None:
            states = self.norm(states)
        return states if self.project is None else self.project(states)

    def _positions(self, batch: Batch) -> torch.Tensor:
        padding = self.plan.counts_from_padding
        if padding is None:
            return batch.positions
        is_token = batch.ids != padding
        if is_token.all():
            return batch.positions + (padding + 1)
        # a padding token inside a text has no number of its own
        counted = [part.cumsum(0) * part for part in is_token.long().split(list(batch.lengths))]
        return torch.cat(counted) + padding
