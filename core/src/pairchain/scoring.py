"""From pairs to scores: batches through a chain, in input order, checked, activated, in the form asked for."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from pairchain.activation import Activation
from pairchain.chain import ModuleChain
from pairchain.device import to_device
from pairchain.errors import ChainError, NonFiniteScoresError
from pairchain.flow import SCORES
from pairchain.inputs import size
from pairchain.schedule import batches, longest_first

# Work shorter than this shows no progress bar unless one is asked for.
_PROGRESS_DELAY_SECONDS = 1.0


def score(
    chain: ModuleChain,
    items: Sequence[Any],
    *,
    prompt: str | None,
    batch_size: int,
    show_progress_bar: bool | None,
    keywords: Mapping[str, Any],
) -> torch.Tensor:
    """Return what ``chain`` writes as scores for ``items``, in their order.

    Args:
        chain: The chain.
        items: Pairs, as tuples of two.
        prompt: The prompt's text.
        batch_size: Most pairs that run together.
        show_progress_bar: None shows one on a terminal, for long work.
        keywords: Keyword arguments for the modules.

    Returns:
        Shape (pairs,) or (pairs, labels), float32 or wider, on the chain's device.

    Raises:
        ChainError: The chain wrote no scores, or not one row for each pair.
    """
    order = longest_first([size(item) for item in items])
    written = []
    with _progress(len(items), show_progress_bar) as progress:
        for positions in batches(order, batch_size):
            written.append(score_batch(chain, [items[position] for position in positions], prompt, keywords))
            progress.update(len(positions))
    if not written:
        return torch.empty(0, device=chain.device)
    sorted_scores = torch.cat(written)
    scores = torch.empty_like(sorted_scores)
    scores[torch.as_tensor(order, device=scores.device)] = sorted_scores
    return scores


def score_batch(
    chain: ModuleChain, items: Sequence[Any], prompt: str | None, keywords: Mapping[str, Any]
) -> torch.Tensor:
    """Return the scores of one batch, as the chain writes them but never in half precision; see `score`."""
    features = chain(to_device(chain.preprocess(items, prompt=prompt, **keywords), chain.device), **keywords)
    if SCORES not in features:
        raise ChainError(
            f"the chain wrote no {SCORES!r}; its last module returned {', '.join(sorted(features)) or 'nothing'}.",
            next_step=f"let its last module write features[{SCORES!r}].",
        )
    scores = features[SCORES]
    if not isinstance(scores, torch.Tensor):
        raise ChainError(f"the chain wrote {SCORES!r} as {type(scores).__name__}.", next_step="write a tensor.")
    if scores.ndim not in (1, 2) or len(scores) != len(items):
        raise ChainError(
            f"the chain wrote {SCORES!r} of shape {tuple(scores.shape)} for {len(items)} pairs.",
            next_step="write one row for each pair: shape (pairs,) or (pairs, labels).",
        )
    # half precision ties scores that the activation could still tell apart
    return scores.float() if scores.is_floating_point() and scores.dtype.itemsize < 4 else scores


def labels_in(scores: torch.Tensor) -> int:
    """Return how many scores each pair has."""
    return 1 if scores.ndim == 1 else scores.shape[-1]


def finish(
    scores: torch.Tensor, activation: Activation, *, apply_softmax: bool, allow_non_finite: bool
) -> torch.Tensor:
    """Return scores after the activation, without the axis of a single label.

    Raises:
        NonFiniteScoresError: Scores are NaN or infinite, before or after the activation, and that is not allowed.
    """
    if not allow_non_finite:
        _refuse_non_finite(scores)
    if isinstance(activation, nn.Module):
        # RReLU draws at random until it is told that it is not trained
        activation.to(scores.device).eval()
    scores = activation(scores)
    if scores.ndim > 1 and scores.shape[-1] == 1:
        scores = scores.squeeze(-1)
    if apply_softmax and scores.ndim > 1:
        scores = torch.softmax(scores, dim=1)
    if not allow_non_finite:
        _refuse_non_finite(scores)
    return scores


def as_output(scores: torch.Tensor, *, single: bool, to_numpy: bool, to_tensor: bool) -> Any:
    """Return scores as a tensor, as an array or as a list of tensors; the first one alone if ``single``."""
    if to_tensor:
        return scores[0] if single else scores
    if to_numpy:
        # an empty batch is float64, as numpy makes it and as sentence-transformers returns it
        values = scores.float().cpu().numpy() if len(scores) else np.array([])
        return values[0] if single else values
    return scores[0] if single else list(scores)


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
        next_step="check the model's weights and dtype (float16 overflows), or keep them with allow_non_finite=True.",
    )


def _progress(total: int, show: bool | None) -> tqdm[Any]:
    wanted = sys.stderr.isatty() if show is None else show
    delay = 0.0 if show else _PROGRESS_DELAY_SECONDS
    return tqdm(total=total, desc="Scoring", unit="pair", disable=not wanted, delay=delay)
