"""Mean squared error: the scores of a teacher, pair by pair."""

from __future__ import annotations

import torch
from torch.nn import functional


def mse(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the squared difference of logits from a teacher's, averaged over pairs.

    Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.1,
    https://arxiv.org/abs/1503.02531.

    Args:
        logits: Scores before the activation, float of shape (pairs,) or (pairs, labels).
        labels: The teacher's scores before its activation, of the same shape.

    Returns:
        A scalar.
    """
    return functional.mse_loss(logits.float(), labels.float())
