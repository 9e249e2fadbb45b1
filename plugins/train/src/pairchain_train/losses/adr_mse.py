"""ADR-MSE: the ranks of a teacher."""

from __future__ import annotations

import torch

from pairchain_train.losses.lists import mean_where


def adr_mse(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, *, alpha: float = 1.0) -> torch.Tensor:
    """Return the squared difference of approximate ranks from those by label, discounted, averaged over documents.

    Schlatt et al., Rank-DistiLLM: Closing the Effectiveness Gap Between Cross-Encoders and LLMs for Passage Re-ranking,
    ECIR 2025, https://arxiv.org/abs/2405.07920.

    Args:
        logits: Scores before the activation, float of shape (queries, documents).
        labels: Relevance, or a teacher's scores, of the same shape; equal labels share the mean of their ranks.
        mask: False where a list has no more documents, bool of the same shape.
        alpha: The steepness with which a difference of scores becomes one of ranks.

    Returns:
        A scalar.
    """
    scores, known = logits.float(), mask[:, None, :]
    above = torch.sigmoid(alpha * (scores[:, None, :] - scores[:, :, None]))
    # a document compared with itself counts one half
    ranks = 0.5 + torch.where(known, above, 0.0).sum(dim=2)
    more = ((labels[:, None, :] > labels[:, :, None]) & known).sum(dim=2)
    equal = ((labels[:, None, :] == labels[:, :, None]) & known).sum(dim=2)
    wanted = more + (equal + 1) / 2
    return mean_where((wanted - ranks).square() / torch.log2(1 + wanted), mask)
