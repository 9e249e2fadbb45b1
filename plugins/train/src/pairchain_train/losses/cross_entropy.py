"""Cross-entropy over classes, for models that give a pair several scores."""

from __future__ import annotations

import torch
from torch.nn import functional


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """Return the cross-entropy of the softmax over classes, averaged over pairs.

    Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.4.

    Args:
        logits: Scores before the activation, float of shape (pairs, classes).
        labels: The number of each pair's class, of shape (pairs,).
        label_smoothing: The share of the weight that is spread over all classes.

    Returns:
        A scalar.

    Raises:
        ValueError: The model gives a pair one score, or a label is not the number of a class.
    """
    if logits.ndim != 2:
        raise ValueError("cross-entropy needs a model that gives a pair several scores; bce suits models with one.")
    classes = labels.long()
    if bool(((classes != labels) | (classes < 0) | (classes >= logits.shape[1])).any()):
        raise ValueError(f"the labels of cross-entropy are numbers of classes, from 0 to {logits.shape[1] - 1}.")
    return functional.cross_entropy(logits.float(), classes, label_smoothing=label_smoothing)
