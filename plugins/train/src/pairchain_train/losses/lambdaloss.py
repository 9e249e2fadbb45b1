"""LambdaLoss: pairs of documents, weighted by what exchanging them would cost in nDCG."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from pairchain_train.losses.lists import best_first, mean_where


def lambdaloss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    mask: torch.Tensor,
    *,
    mu: float = 10.0,
    sigma: float = 1.0,
    top: int | None = None,
) -> torch.Tensor:
    """Return the loss NDCG-Loss2++ in bits, averaged over all pairs of documents with different labels.

    Wang et al., The LambdaLoss Framework for Ranking Metric Optimization, CIKM 2018,
    https://doi.org/10.1145/3269206.3271784.

    Args:
        logits: Scores before the activation, float of shape (queries, documents).
        labels: Relevance grades from 0 up, of the same shape.
        mask: False where a list has no more documents, bool of the same shape.
        mu: The weight of NDCG-Loss2 beside LambdaRank.
        sigma: The steepness of the logistic loss.
        top: Ignore pairs whose documents both have lower ranks; None for none.

    Returns:
        A scalar.
    """
    logits, labels, mask = best_first(logits.detach().float(), logits.float(), labels.float(), mask)
    ranks = torch.arange(1, logits.shape[1] + 1, device=logits.device)
    known = mask[:, :, None] & mask[:, None, :]
    better = known & (labels[:, :, None] > labels[:, None, :])
    if top is not None:
        better = better & ((ranks[:, None] <= top) | (ranks[None, :] <= top))
    with torch.no_grad():
        gains = _gains(labels, mask, ranks, top)
        weights = (gains[:, :, None] - gains[:, None, :]).abs() * (mu * _by_distance(ranks) + _by_ranks(ranks))
    margins = logits[:, :, None] - logits[:, None, :]
    return mean_where(-weights * functional.logsigmoid(sigma * margins) / math.log(2), better)


def _gains(labels: torch.Tensor, mask: torch.Tensor, ranks: torch.Tensor, top: int | None) -> torch.Tensor:
    """Return each document's gain as a share of the list's largest DCG, of shape (queries, documents)."""
    gains = torch.where(mask, labels.clamp(min=0).exp2() - 1, 0.0)
    best = gains.sort(dim=1, descending=True).values / _discounts(ranks)
    return gains / best[:, :top].sum(dim=1, keepdim=True).clamp(min=1e-10)


def _discounts(ranks: torch.Tensor) -> torch.Tensor:
    return torch.log2(1 + ranks.float())


def _by_ranks(ranks: torch.Tensor) -> torch.Tensor:
    """Return LambdaRank's weights: how the discounts of two ranks differ, of shape (documents, documents)."""
    shares = 1 / _discounts(ranks)
    return (shares[:, None] - shares[None, :]).abs()


def _by_distance(ranks: torch.Tensor) -> torch.Tensor:
    """Return NDCG-Loss2's weights: how the discounts of a distance and the next one differ; 0 on the diagonal."""
    apart = (ranks[:, None] - ranks[None, :]).abs()
    # a distance of 0 has no discount; the value is not used
    weights = 1 / _discounts(apart.clamp(min=1)) - 1 / _discounts(apart + 1)
    return torch.where(apart > 0, weights, 0.0)
