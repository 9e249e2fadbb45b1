"""Features of a padded batch, as the Transformer hands them on, into packed ones and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pairchain_packed.batch import Batch


@dataclass(frozen=True, eq=False)
class Packing:
    """A packed batch, and where its tokens were.

    Attributes:
        batch: The batch.
        mask: Where the padded batch has a token, boolean of shape (inputs, positions).
    """

    batch: Batch
    mask: torch.Tensor

    def padded(self, values: torch.Tensor) -> torch.Tensor:
        """Return values of shape (tokens, size) at their places, shape (inputs, positions, size); zeros elsewhere."""
        full = values.new_zeros((*self.mask.shape, values.shape[-1]))
        full[self.mask] = values
        return full


def packed(features: Mapping[str, Any], *, before: int = 0) -> Packing:
    """Return the tokens of a padded batch, packed.

    Args:
        features: ``input_ids`` and ``attention_mask`` of shape (inputs, positions), and perhaps ``token_type_ids``.
        before: How many tokens of each input are left out at its beginning, because their keys and values are known.
    """
    ids, mask = features["input_ids"], features["attention_mask"].bool()
    if before:
        mask = mask & (mask.cumsum(dim=1) > before)
    types = features.get("token_type_ids")
    lengths = mask.sum(dim=1).tolist()
    return Packing(Batch(ids[mask], lengths, None if types is None else types[mask], before), mask)
