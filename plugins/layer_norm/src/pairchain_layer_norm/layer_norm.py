"""LayerNorm: layer normalisation of the sentence embedding."""

from __future__ import annotations

from typing import Any

from torch import nn

from pairchain import Module
from pairchain.authoring import checked_count


class LayerNorm(Module):
    """Normalises ``sentence_embedding`` over its last axis, then scales and shifts it (Ba et al., 2016).

    Format: sentence-transformers ``sentence_transformer.modules.LayerNorm``.

    Args:
        dimension: Size of the embedding.

    Raises:
        InputError: ``dimension`` is not a positive integer.
    """

    config_keys = ["dimension"]
    saves_weights = True
    module_type = "sentence_transformers.sentence_transformer.modules.layer_norm.LayerNorm"
    reads = frozenset({"sentence_embedding"})
    writes = frozenset({"sentence_embedding"})
    is_thread_safe = True

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = checked_count(dimension, "dimension")
        self.norm = nn.LayerNorm(self.dimension)

    def get_embedding_dimension(self) -> int:
        """Return the size of the embedding."""
        return self.dimension

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with ``sentence_embedding`` normalised, of shape (pairs, dimension)."""
        features["sentence_embedding"] = self.norm(features["sentence_embedding"])
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the configuration and the weights."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)
