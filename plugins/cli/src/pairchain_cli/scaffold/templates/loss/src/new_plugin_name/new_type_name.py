"""The loss new-entry-name: asks relevant documents to score a margin above the others."""

from __future__ import annotations

import torch
from torch.nn import functional


def new_type_name(
    logits: torch.Tensor,
    labels: torch.Tensor,
    mask: torch.Tensor,
    *,
    margin: float = 1.0,
) -> torch.Tensor:
    """Return the hinge loss over pairs of documents of a query, averaged.

    A loss that has an argument ``mask`` gets lists; without it, it gets pairs: logits
    of shape (pairs,) or (pairs, labels), and labels of shape (pairs,).

    Args:
        logits: Scores before the activation, float of shape (queries, documents).
        labels: Relevance, float of the same shape.
        mask: False where a list has no more documents, bool of the same shape.
        margin: By how much a document has to score above less relevant ones.

    Returns:
        A scalar.
    """
    known = mask[:, :, None] & mask[:, None, :]
    better = known & (labels[:, :, None] > labels[:, None, :])
    missing = functional.relu(margin - (logits[:, :, None] - logits[:, None, :]))
    return (missing * better).sum() / better.sum().clamp(min=1)
