"""The model whose weights a runtime holds, as a part of the chain."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import nn

from pairchain.errors import ChainError


class GraphModel(nn.Module):
    """Stands in a chain for a graph: it has the configuration, and follows the device and dtype of the chain.

    Args:
        config: The transformers library's configuration.
        weight_count: About how many weights the graph has; the engine sizes batches by it.
    """

    anchor: torch.Tensor

    def __init__(self, config: Any, weight_count: int) -> None:
        super().__init__()
        self.config = config
        self.weight_count = weight_count
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise a ChainError: only a `Transformer` runs a graph."""
        raise ChainError(
            "a graph runs as a part of its Transformer, not by itself.",
            next_step="call the Transformer, or load the model with backend='transformers'.",
        )
