"""What a graph's surroundings need to know of ``config.json``, without the transformers library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Architectures whose first token has the position after that of padding.
POSITIONS_AFTER_PADDING = frozenset(
    """
    camembert data2vec-text esm ibert layoutlmv3 lilt longformer luke markuplm mpnet prophetnet roberta
    roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod
    """.split()
)


def says_enough(config: Mapping[str, Any]) -> bool:
    """Return whether ``config`` itself says how many tokens the model reads; the library may have other defaults.

    A configuration of several parts is the library's to read.
    """
    has_parts = any(isinstance(value, Mapping) and "model_type" in value for value in config.values())
    return not has_parts and all(
        isinstance(config.get(name), kind)
        for name, kind in {"model_type": str, "max_position_embeddings": int, "pad_token_id": int}.items()
    )


def output_size(task: str, config: Any, values: Mapping[str, Any]) -> int | None:
    """Return the size of the last axis of the output; None if the configuration does not say.

    Args:
        task: The task.
        config: The library's configuration, or None.
        values: The content of ``config.json``.
    """
    if task == "sequence-classification":
        if config is not None:
            return int(config.num_labels)
        named = values.get("id2label")
        number = values.get("num_labels", len(named) if isinstance(named, Mapping) else 2)
        return number if isinstance(number, int) else None
    if task == "feature-extraction":
        size = values.get("hidden_size") if config is None else getattr(config, "hidden_size", None)
        return size if isinstance(size, int) else None
    return None


def first_position(values: Mapping[str, Any]) -> int:
    """Return the position of the first token, for graphs that take positions."""
    padding = values.get("pad_token_id")
    if values.get("model_type") not in POSITIONS_AFTER_PADDING or not isinstance(padding, int):
        return 0
    return padding + 1
