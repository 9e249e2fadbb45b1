"""PListMLE: ListMLE that cares more about the first ranks."""

from __future__ import annotations

import torch

from pairchain_train.losses.lists import best_first, log_likelihoods

# 2 to the number of documents: a larger power is infinite in float32
_LARGEST_POWER = 127


def plistmle(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood of the order by label, with weights that halve at each rank.

    The weights of a list add up to 1, and its losses are averaged over queries. Lan et al., Position-Aware ListMLE: A
    Sequential Learning Process for Ranking, UAI 2014, https://www.auai.org/uai2014/proceedings/individuals/164.pdf.

    Args:
        logits: Scores before the activation, float of shape (queries, documents).
        labels: Relevance, or a teacher's scores, of the same shape; documents of equal label keep their order.
        mask: False where a list has no more documents, bool of the same shape.

    Returns:
        A scalar.
    """
    logits, _, mask = best_first(labels.float(), logits.float(), labels, mask)
    sizes = mask.sum(dim=1, keepdim=True)
    ranks = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    # the weight of a rank is 2^(documents - rank) - 1; dividing all by a power keeps their ratios
    scale = (sizes - _LARGEST_POWER).clamp(min=0).float()
    weights = (torch.exp2(sizes - ranks - scale) - torch.exp2(-scale)) * mask
    weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-10)
    return -(weights * log_likelihoods(logits, mask)).sum(dim=1).mean()
