"""ListMLE: the chance of the right order."""

from __future__ import annotations

import torch

from pairchain_train.losses.lists import best_first, log_likelihoods


def listmle(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood of the order by label, averaged over queries.

    Xia et al., Listwise Approach to Learning to Rank: Theory and Algorithm, ICML 2008,
    https://doi.org/10.1145/1390156.1390306.

    Args:
        logits: Scores before the activation, float of shape (queries, documents).
        labels: Relevance, or a teacher's scores, of the same shape; documents of equal label keep their order.
        mask: False where a list has no more documents, bool of the same shape.

    Returns:
        A scalar.
    """
    logits, _, mask = best_first(labels.float(), logits.float(), labels, mask)
    return -log_likelihoods(logits, mask).sum(dim=1).mean()
