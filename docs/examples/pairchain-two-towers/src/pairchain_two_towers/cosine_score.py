"""CosineScore: how alike two embeddings are."""

from __future__ import annotations

from typing import Any

from torch.nn import functional

from pairchain import Module


class CosineScore(Module):
    """Scores a pair by the cosine of the angle between its two embeddings: from -1 to 1, and 1 for one direction."""

    reads = frozenset({"query_embedding", "document_embedding"})
    writes = frozenset({"scores"})
    num_labels = 1

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with ``scores``, of shape (pairs, 1), in the dtype of the embeddings."""
        cosine = functional.cosine_similarity(features["query_embedding"], features["document_embedding"], dim=-1)
        features["scores"] = cosine.unsqueeze(-1)
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write an empty configuration: there is nothing to set, but a repository keeps no folder without a file."""
        self.save_config(output_path)
