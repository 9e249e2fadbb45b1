"""ListNet: the distribution over the documents of a query."""

from __future__ import annotations

import torch


def listnet(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of the softmax of logits against the softmax of labels, averaged over queries.

    Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007,
    https://doi.org/10.1145/1273496.1273513.

    Args:
        logits: Scores before the activation, float of shape (queries, documents).
        labels: Relevance, or a teacher's scores, of the same shape.
        mask: False where a list has no more documents, bool of the same shape.

    Returns:
        A scalar.
    """
    wanted = labels.float().masked_fill(~mask, -torch.inf).softmax(dim=1)
    lowest = torch.finfo(torch.float32).min
    found = logits.float().masked_fill(~mask, lowest).log_softmax(dim=1)
    return -torch.where(mask, wanted * found, 0.0).sum(dim=1).mean()
