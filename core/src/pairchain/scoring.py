"""From pairs to scores: batches through a chain, in input order, checked, activated, in the form asked for."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from pairchain.activation import Activation
from pairchain.chain import ModuleChain
from pairchain.custom_import import noting_origin
from pairchain.device import to_device
from pairchain.errors import ChainError, InputError, NonFiniteScoresError
from pairchain.flow import SCORES
from pairchain.inputs import size
from pairchain.schedule import plan

# Work shorter than this shows no progress bar unless one is asked for.
_PROGRESS_DELAY_SECONDS = 1.0


def score(
    chain: ModuleChain,
    items: Sequence[Any],
    *,
    prompt: str | None,
    batch_size: int,
    keywords: Mapping[str, Any],
    show_progress_bar: bool | None = False,
    first_index: int = 0,
) -> torch.Tensor:
    """Return what ``chain`` writes as scores for ``items``, in their order.

    Args:
        chain: The chain.
        items: Pairs, as tuples of two.
        prompt: The prompt's text.
        batch_size: Most pairs that run together.
        keywords: Keyword arguments for the modules.
        show_progress_bar: None shows one on a terminal, for long work.
        first_index: How errors number the first of ``items``, if they are part of what the caller passed.

    Returns:
        Shape (pairs,) or (pairs, labels), float32 or wider, on the chain's device.

    Raises:
        InputError: An input cannot be scored; the message says which and why.
        ChainError: The chain wrote no scores, or not one row for each pair.
    """
    batches = plan([size(item) for item in items], _keys(chain, items, keywords, first_index), batch_size)
    written = []
    with progress_bar(len(items), show_progress_bar) as progress:
        for positions in batches:
            try:
                written.append(score_batch(chain, [items[position] for position in positions], prompt, keywords))
            except InputError as error:
                # an input module counts in its batch
                if error.index is not None and error.index < len(positions):
                    error.place(first_index + positions[error.index])
                raise
            progress.update(len(positions))
    if not written:
        return torch.empty(0, device=chain.device)
    sorted_scores = torch.cat(written)
    scores = torch.empty_like(sorted_scores)
    order = [position for positions in batches for position in positions]
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
    # each route of a Router may be on a device of its own
    scores = scores.to(chain.device)
    # half precision ties scores that the activation could still tell apart
    return scores.float() if scores.is_floating_point() and scores.dtype.itemsize < 4 else scores


def _keys(chain: ModuleChain, items: Sequence[Any], keywords: Mapping[str, Any], first_index: int) -> list[Hashable]:
    """Return what inputs must share to be in one batch, as the input module says; without a say they all may."""
    key_of = getattr(chain.input_module, "batch_key", None)
    if key_of is None:
        return [None] * len(items)
    keys = []
    for index, item in enumerate(items, first_index):
        try:
            with noting_origin(type(chain.input_module), called=f"{type(chain.input_module).__name__}.batch_key"):
                keys.append(key_of(item, **keywords))
        except InputError as error:
            error.place(index)
            raise
    return keys


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


def refuse_several_labels(num_labels: int | None) -> None:
    """Refuse to rank by several scores a pair; None for a number that is not known yet.

    Raises:
        InputError: There are several.
    """
    if num_labels not in (None, 1):
        raise InputError(
            f"rank needs one score a pair, and this model gives {num_labels}.",
            next_step="use predict, and decide which of its scores to sort by.",
        )


def ranking(
    scores: np.ndarray[Any, Any], documents: Sequence[Any], *, top_k: int | None, return_documents: bool
) -> list[dict[str, Any]]:
    """Return a dict for each document, from the best score to the worst; equal scores keep the documents' order.

    Args:
        scores: One score for each document.
        documents: The documents.
        top_k: How many to return; None for all.
        return_documents: Whether each dict holds its document under ``"text"``.
    """
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
        next_step="check the model's weights and dtype (float16 overflows), or keep them with allow_non_finite=True.",
    )


def progress_bar(total: int, show: bool | None) -> tqdm[Any]:
    """Return a progress bar for ``total`` pairs; None shows it on a terminal, when the work is long."""
    wanted = sys.stderr.isatty() if show is None else show
    delay = 0.0 if show else _PROGRESS_DELAY_SECONDS
    return tqdm(total=total, desc="Scoring", unit="pair", disable=not wanted, delay=delay)
