"""The two libraries that are compared, each with one model, called in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from texts import Pair

OURS, THEIRS = "pairchain", "sentence-transformers"

# What the other library takes unless told otherwise, and what else a user would try.
DEFAULT_SIZE = 32
BATCH_SIZES = (1, 4, 8, 16, DEFAULT_SIZE)


@dataclass(frozen=True)
class Side:
    """A library with a model.

    Attributes:
        model: Its CrossEncoder.
    """

    model: Any

    def scores(self, pairs: Sequence[Pair], **options: Any) -> np.ndarray:
        """Return the scores of ``pairs``, as the model writes them: an activation would bring them closer together."""
        return self.model.predict(list(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False, **options)

    def positions(self, pairs: Sequence[Pair], **options: Any) -> int:
        """Return how many positions the model computes for ``pairs``, padding included."""
        counted = []
        count: Callable[..., None] = lambda module, given: counted.append(given[0].numel())  # noqa: E731
        embeddings = [module for module in self.model.modules() if isinstance(module, torch.nn.Embedding)]
        hook = max(embeddings, key=lambda module: module.num_embeddings).register_forward_pre_hook(count)
        try:
            self.scores(pairs, **options)
        finally:
            hook.remove()
        return sum(counted)


def load(library: str, folder: Path, device: str, dtype: str) -> Side:
    """Return ``library`` with the model saved in ``folder``, on ``device`` and in ``dtype``."""
    # a process that measures memory has only one of them
    if library == OURS:
        from pairchain import CrossEncoder
    else:
        from sentence_transformers import CrossEncoder
    return Side(CrossEncoder(str(folder), device=device, model_kwargs={"dtype": getattr(torch, dtype)}))
