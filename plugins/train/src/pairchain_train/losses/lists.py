"""What losses of lists share: sorting documents, and averaging what a mask keeps."""

from __future__ import annotations

import torch


def mean_where(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of ``values`` where ``mask`` is True; 0, with gradients, if it is nowhere."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def best_first(
    keys: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits, labels and mask with the documents of each list in the order of ``keys``, the largest first.

    All have the shape (queries, documents). Equal keys keep their order, and padding comes last.
    """
    order = keys.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
    # a document with a key of -inf must not come after padding
    order = order.gather(1, (~mask).gather(1, order).int().argsort(dim=1, stable=True))
    return logits.gather(1, order), labels.gather(1, order), mask.gather(1, order)


def log_likelihoods(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the log of the chance that each document is drawn before all that follow it; 0 for padding.

    Documents are drawn one after the other, in proportion to the exponentials of their logits: the model of Plackett
    and Luce. The shape of all is (queries, documents).
    """
    lowest = torch.finfo(logits.dtype).min
    rest = logits.masked_fill(~mask, lowest).flip(1).logcumsumexp(dim=1).flip(1)
    return torch.where(mask, logits - rest, 0.0)
