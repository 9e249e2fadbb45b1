"""NewTypeName: embeds each byte of a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pairchain import Encoded, InputModule
from torch import nn
from torch.nn.utils.rnn import pad_sequence


class NewTypeName(InputModule):
    """Embeds each byte of a pair of texts.

    Args:
        dimension: The size of an embedding.
    """

    # saved in config.json, and passed to __init__ when a saved module is loaded
    config_keys = ("dimension",)
    saves_weights = True
    # the features it adds; a chain where they do not fit is refused when it is built
    writes = frozenset({"token_embeddings", "attention_mask"})
    # several threads may call encode, collate and preprocess at once
    is_thread_safe = True

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.table = nn.Embedding(256, dimension)

    def get_embedding_dimension(self) -> int:
        """Return the size of an embedding."""
        return self.dimension

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the bytes of each pair, padded to the longest, and a mask."""
        return self.collate(self.encode(inputs, prompt))

    # encode and collate are optional: with them, pairs are sorted by their exact lengths
    def encode(
        self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any
    ) -> list[Encoded]:
        """Return the bytes of each pair, without padding."""
        texts = [f"{prompt or ''}{query}\n{document}" for query, document in inputs]
        rows = [torch.tensor(list(text.encode(errors="replace"))) for text in texts]
        return [Encoded(row, length=len(row)) for row in rows]

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        """Return what `preprocess` returns for the inputs of these items."""
        rows = [item.values for item in items]
        ones = [torch.ones_like(row) for row in rows]
        return {
            "byte_ids": pad_sequence(rows, batch_first=True),
            "attention_mask": pad_sequence(ones, batch_first=True),
        }

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add ``token_embeddings``, of shape (pairs, bytes, dimension)."""
        features["token_embeddings"] = self.table(features["byte_ids"])
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
