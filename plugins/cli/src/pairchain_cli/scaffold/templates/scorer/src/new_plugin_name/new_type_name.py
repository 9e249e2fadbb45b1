"""NewTypeName: scores a pair by a weighted sum of its embedding."""

from __future__ import annotations

from typing import Any

from pairchain import Module
from torch import nn


class NewTypeName(Module):
    """Scores a pair by a weighted sum of the numbers in its embedding.

    Args:
        dimension: The size of an embedding.
    """

    # saved in config.json, and passed to __init__ when a saved module is loaded
    config_keys = ("dimension",)
    saves_weights = True
    # the features it needs and adds; a chain where they do not fit is refused when it is built
    reads = frozenset({"sentence_embedding"})
    writes = frozenset({"scores"})
    num_labels = 1

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.weights = nn.Linear(dimension, 1)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with ``scores``, of shape (pairs, 1)."""
        features["scores"] = self.weights(features["sentence_embedding"])
        return features

    def save(
        self,
        output_path: str,
        *args: Any,
        safe_serialization: bool = True,
        **kwargs: Any,
    ) -> None:
        """Write the configuration and the weights into the folder ``output_path``."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)
