"""Binary cross-entropy: each pair is relevant or not."""

from __future__ import annotations

import torch
from torch.nn import functional


def bce(logits: torch.Tensor, labels: torch.Tensor, *, pos_weight: float | None = None) -> torch.Tensor:
    """Return the binary cross-entropy of pairs, averaged.

    Nogueira and Cho, Passage Re-ranking with BERT, 2019, https://arxiv.org/abs/1901.04085.

    Args:
        logits: Scores before the activation, float of shape (pairs,), or (pairs, labels) for independent labels.
        labels: The chance that a pair is relevant, from 0 to 1, of the same shape.
        pos_weight: Counts relevant pairs so often, which makes up for many irrelevant ones; None for once.

    Returns:
        A scalar.

    Raises:
        ValueError: A label is below 0 or above 1.
    """
    if not ((labels >= 0) & (labels <= 1)).all():
        raise ValueError(f"labels must be from 0 to 1, and are from {labels.min():g} to {labels.max():g}.")
    weight = None if pos_weight is None else torch.tensor(pos_weight, device=logits.device)
    return functional.binary_cross_entropy_with_logits(logits.float(), labels.float(), pos_weight=weight)
