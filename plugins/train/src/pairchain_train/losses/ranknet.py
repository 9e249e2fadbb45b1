"""RankNet: for any two documents of a query, which one is better."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from pairchain_train.losses.lists import mean_where


def ranknet(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, *, sigma: float = 1.0) -> torch.Tensor:
    """Return the logistic loss in bits, averaged over all pairs of documents of a query with different labels.

    Burges et al., Learning to Rank using Gradient Descent, ICML 2005, https://doi.org/10.1145/1102351.1102363.

    Args:
        logits: Scores before the activation, float of shape (queries, documents).
        labels: Relevance, or a teacher's scores, of the same shape.
        mask: False where a list has no more documents, bool of the same shape.
        sigma: The steepness of the logistic loss.

    Returns:
        A scalar.
    """
    better = mask[:, :, None] & mask[:, None, :] & (labels[:, :, None] > labels[:, None, :])
    margins = logits.float()[:, :, None] - logits.float()[:, None, :]
    return mean_where(-functional.logsigmoid(sigma * margins) / math.log(2), better)
