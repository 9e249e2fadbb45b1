"""TwoTowers: one transformer, and the two texts of a pair that never see each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Self

import torch

from pairchain import InputModule, registry
from pairchain.errors import ChainError

ENCODER_FOLDER = "encoder"


class TwoTowers(InputModule):
    """Encodes the query and the document of each pair apart from one another, with the same transformer.

    An embedding is the mean of its tokens' embeddings. A text that occurs several times in a batch, as the query does
    when documents are ranked, is encoded once.

    Args:
        encoder: A Transformer for ``"feature-extraction"``, which writes ``token_embeddings``.

    Raises:
        ChainError: The encoder writes something else.
    """

    writes = frozenset({"query_embedding", "document_embedding"})

    def __init__(self, encoder: InputModule) -> None:
        super().__init__()
        written = getattr(encoder, "writes", None)
        if written is not None and "token_embeddings" not in written:
            raise ChainError(
                f"the encoder writes {', '.join(sorted(written))}, and TwoTowers needs 'token_embeddings'.",
                next_step="load it for transformer_task='feature-extraction'.",
            )
        self.encoder: Any = encoder

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, max_length: int | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the tokens of the texts in a batch, each text once, and where to find those of a pair.

        Args:
            inputs: Pairs of text.
            prompt: Text put before each query.
            max_length: Longest text in tokens, for this call.

        Returns:
            ``texts``, the encoder's features, and ``query_rows`` and ``document_rows``, int64 of shape (pairs,): the
            rows of ``texts`` that hold the two sides of each pair.
        """
        queries = [(prompt or "") + query for query, _ in inputs]
        documents = [document for _, document in inputs]
        rows = {text: row for row, text in enumerate(dict.fromkeys(queries + documents))}
        return {
            "texts": self.encoder.preprocess(list(rows), max_length=max_length),
            "query_rows": torch.tensor([rows[text] for text in queries]),
            "document_rows": torch.tensor([rows[text] for text in documents]),
        }

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with ``query_embedding`` and ``document_embedding``, of shape (pairs, dimension)."""
        texts = self.encoder(features["texts"])
        embeddings = mean_of_tokens(texts["token_embeddings"], texts["attention_mask"])
        features["query_embedding"] = embeddings[features["query_rows"]]
        features["document_embedding"] = embeddings[features["document_rows"]]
        return features

    @property
    def tokenizer(self) -> Any:
        """The encoder's tokenizer."""
        return self.encoder.tokenizer

    @property
    def max_seq_length(self) -> int | None:
        """The longest text in tokens; longer ones are cut."""
        length: int | None = self.encoder.max_seq_length
        return length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        self.encoder.max_seq_length = value

    def get_embedding_dimension(self) -> int:
        """Return the size of an embedding."""
        dimension: int = self.encoder.get_embedding_dimension()
        return dimension

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", *args: Any, **kwargs: Any) -> Self:
        """Return the module saved in a folder; whatever else is passed is for the encoder's ``load``.

        Raises:
            UnknownTypeError: No installed plugin provides ``"Transformer"``.
        """
        transformer: Any = registry.load("Transformer")
        folder = str(PurePosixPath(subfolder, ENCODER_FOLDER))
        return cls(transformer.load(model_name_or_path, folder, *args, **kwargs))

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the encoder to a folder of its own; there is nothing else to write."""
        folder = Path(output_path) / ENCODER_FOLDER
        folder.mkdir(exist_ok=True)
        self.encoder.save(str(folder), safe_serialization=safe_serialization)


def mean_of_tokens(embeddings: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over the tokens that ``mask`` counts.

    Args:
        embeddings: Shape (texts, positions, dimension).
        mask: Shape (texts, positions): 1 where there is a token, 0 where there is padding.

    Returns:
        Shape (texts, dimension), in the dtype of ``embeddings``.
    """
    weights = mask.unsqueeze(-1).to(embeddings.dtype)
    # a text without a single token has no mean; zero, as its sum is
    return (embeddings * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
