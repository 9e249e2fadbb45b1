"""MarginMSE: how much better than each negative a teacher scores the positive."""

from __future__ import annotations

import torch

from pairchain_train.losses.lists import mean_where


def margin_mse(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the squared difference of margins from a teacher's, averaged over all negatives of the batch.

    Hofstätter et al., Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation, 2020,
    https://arxiv.org/abs/2010.02666.

    Args:
        logits: Scores before the activation, float of shape (queries, documents); the first document is the positive.
        labels: The teacher's scores, of the same shape.
        mask: False where a list has no more documents, bool of the same shape.

    Returns:
        A scalar.
    """
    found = logits[:, :1] - logits[:, 1:]
    wanted = labels[:, :1] - labels[:, 1:]
    return mean_where((found.float() - wanted.float()).square(), mask[:, 1:])
