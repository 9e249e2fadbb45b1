"""Which tokens read in attention, and which they may read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pairchain_packed import architecture
from pairchain_packed.batch import Batch, End

# Keys and values of shape (1, heads, tokens, size).
KeysAndValues = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Reach:
    """What attention reads in one layer of one batch.

    Attributes:
        batch: The inputs.
        plan: The heads.
        window: The largest distance at which tokens attend to each other; None for no limit.
        at: The one token of each input that reads; None for all tokens.
        before: Keys and values of the tokens before each input, if there are any.
    """

    batch: Batch
    plan: architecture.Attention
    window: int | None = None
    at: End | None = None
    before: KeysAndValues | None = None

    @property
    def is_triangle(self) -> bool:
        """Whether each token reads itself and all earlier ones of its input, and nothing else."""
        return self.plan.is_causal and self.window is None and self.at is None and self.before is None
