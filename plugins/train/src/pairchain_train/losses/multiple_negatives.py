"""Multiple negatives: the positive among negatives."""

from __future__ import annotations

import torch
from torch.nn import functional


def multiple_negatives(
    logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, *, scale: float = 10.0
) -> torch.Tensor:
    """Return the cross-entropy of choosing the most relevant document by its score, averaged over queries.

    Henderson et al., Efficient Natural Language Response Suggestion for Smart Reply, 2017, section 4.4,
    https://arxiv.org/abs/1705.00652. `PairCollator` can add documents of other queries as further negatives.

    Args:
        logits: Scores before the activation, float of shape (queries, documents).
        labels: Relevance, of the same shape; the first document with the largest label is the positive.
        mask: False where a list has no more documents, bool of the same shape.
        scale: Multiplies the scores after a sigmoid; 0 for the logits as they are.

    Returns:
        A scalar.
    """
    positives = labels.float().masked_fill(~mask, -torch.inf).argmax(dim=1)
    scores = scale * logits.float().sigmoid() if scale else logits.float()
    return functional.cross_entropy(scores.masked_fill(~mask, torch.finfo(torch.float32).min), positives)
