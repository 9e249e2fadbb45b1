"""How large a model's embeddings are, wherever its configuration says so."""

from __future__ import annotations

from typing import Any

from pairchain.errors import ChainError

# Names under which configurations keep the size of their last hidden state; a list holds one for each stage.
_SIZE_NAMES = ("hidden_size", "neck_hidden_sizes", "hidden_sizes", "embed_dims", "hidden_dim")


def embedding_dimension(config: Any, *, pooled: bool, projected: bool) -> int:
    """Return the size of the embeddings that a model of ``config`` writes.

    Args:
        config: The model's configuration; its text part counts before its other parts.
        pooled: Whether one embedding for the whole input is written, which a projection may have resized.
        projected: Whether each token's embedding is written as a head for retrieval resized it.

    Raises:
        ChainError: The configuration does not say.
    """
    if projected and isinstance(size := getattr(config, "embedding_dim", None), int):
        return size
    parts = [config, getattr(config, "text_config", None)]
    parts += [getattr(config, name, None) for name in getattr(config, "sub_configs", ())]
    for part in parts:
        for name in (*(("projection_dim",) if pooled else ()), *_SIZE_NAMES):
            value = getattr(part, name, None)
            size = value[-1] if isinstance(value, (list, tuple)) and value else value
            if isinstance(size, int):
                return size
    raise ChainError(f"the configuration {type(config).__name__} does not say how large the model's embeddings are.")
