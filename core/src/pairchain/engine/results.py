"""Turns the scores that a chain wrote into the caller's results: checks, activates, converts and ranks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from pairchain.chain import observing
from pairchain.errors import InputError, NonFiniteScoresError
from pairchain.format.activation import Activation


def labels_in(scores: torch.Tensor) -> int:
    return 1 if scores.ndim == 1 else scores.shape[-1]


def finish(
    scores: torch.Tensor, activation: Activation, *, apply_softmax: bool, allow_non_finite: bool
) -> torch.Tensor:
    """Return scores after the activation, without the axis of a single label; check them before and after it."""
    if not allow_non_finite:
        _refuse_non_finite(scores)
    if isinstance(activation, nn.Module):
        # RReLU is random in training mode
        activation.to(scores.device).eval()
    with observing.step("activation", getattr(activation, "__name__", type(activation).__name__)):
        scores = activation(scores)
    if scores.ndim > 1 and scores.shape[-1] == 1:
        scores = scores.squeeze(-1)
    if apply_softmax and scores.ndim > 1:
        scores = torch.softmax(scores, dim=1)
    if not allow_non_finite:
        _refuse_non_finite(scores)
    return scores


def as_output(scores: torch.Tensor, *, single: bool, to_numpy: bool, to_tensor: bool) -> Any:
    """Return scores as a tensor, an array or a list of tensors; only the first if ``single``."""
    values: Any = scores if to_tensor else list(scores)
    if to_numpy and not to_tensor:
        # an empty batch is float64, as sentence-transformers returns it
        values = scores.float().cpu().numpy() if len(scores) else np.array([])
    return values[0] if single else values


def refuse_several_labels(num_labels: int | None) -> None:
    """Raise an `InputError` if the model gives a pair several scores, which cannot rank; None is an unknown number."""
    if num_labels not in (None, 1):
        raise InputError(
            f"rank needs one score for each pair, and this model gives {num_labels}.",
            next_step="use predict, and sort by one of its scores.",
        )


def ranking(
    scores: np.ndarray[Any, Any], documents: Sequence[Any], *, top_k: int | None, return_documents: bool
) -> list[dict[str, Any]]:
    """Return a dict for each document, from the best score to the worst; documents of equal score keep their order."""
    best_first = np.argsort(-scores, kind="stable").tolist()[:top_k]
    return [
        {"corpus_id": position, "score": float(scores[position])}
        | ({"text": documents[position]} if return_documents else {})
        for position in best_first
    ]


def _refuse_non_finite(scores: torch.Tensor) -> None:
    finite = torch.isfinite(scores)
    if finite.ndim > 1:
        finite = finite.flatten(1).all(dim=1)
    if bool(finite.all()):
        return
    indices = tuple((~finite).nonzero().flatten().tolist())
    shown = ", ".join(map(str, indices[:10])) + (", …" if len(indices) > 10 else "")
    raise NonFiniteScoresError(
        f"{len(indices)} of {len(scores)} pairs got a score that is NaN or infinite: pairs {shown}.",
        indices=indices,
        next_step="check the model's weights and dtype (float16 overflows), or pass allow_non_finite=True to get them.",
    )
