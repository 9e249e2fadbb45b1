"""Features of a padded batch, as the Transformer hands them on, into packed ones and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pairchain_packed.batch import Batch
from pairchain_packed.model import PackedModel


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


def declined(features: Mapping[str, Any], model: PackedModel) -> str:
    """Return, as a clause, why a padded batch cannot be packed with the same outputs; empty if it can."""
    ids, mask, types = (features.get(name) for name in ("input_ids", "attention_mask", "token_type_ids"))
    if not isinstance(ids, torch.Tensor) or not isinstance(mask, torch.Tensor) or mask.shape != ids.shape:
        return "it needs input_ids, and an attention_mask of the same shape"
    if ids.ndim != 2 or (types is not None and types.shape != ids.shape):
        return "it reads only tokens of shape (inputs, positions)"
    is_token = mask.bool()
    lengths = is_token.sum(dim=1)
    if not bool(lengths.all()) or not torch.equal(mask, is_token.to(mask.dtype)):
        return "the attention_mask hides an input, or holds other values than 0 and 1"
    edges = is_token[:, 1:] != is_token[:, :-1]
    is_short = lengths < ids.shape[1]
    if not bool((edges.sum(dim=1) == is_short).all()):
        return "the attention_mask hides tokens between others"
    pads_left = bool((~is_token[:, 0]).any())
    embedding, reads = model.plan.embedding, model.head.plan.reads
    if pads_left and (reads == "first" or (embedding.positions and embedding.counts_from_padding is None)):
        return "padding on the left counts as positions in this model"
    limit = embedding.positions - (0 if embedding.counts_from_padding is None else embedding.counts_from_padding + 1)
    if embedding.positions and int(lengths.max()) > limit:
        return f"it has positions for only {limit} tokens"
    return ""


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
