"""Which tokens read in attention, and which they may read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pairchain_packed.batch import End

# Keys and values of shape (1, heads, tokens, size).
KeysAndValues = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Reach:
    """What attention reads in one layer of one batch, besides what holds for the model.

    Attributes:
        window: The largest distance at which tokens attend to each other; None for no limit.
        at: The one token of each input that reads; None for all tokens.
        before: Keys and values of the tokens before each input, if there are any.
    """

    window: int | None = None
    at: End | None = None
    before: KeysAndValues | None = None
