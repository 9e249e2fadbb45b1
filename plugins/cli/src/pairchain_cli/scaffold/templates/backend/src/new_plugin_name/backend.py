"""The backend new-entry-name: runs the models of the backend transformers in bfloat16.

`pairchain.inspect` asks every backend what it supports, so this module must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pairchain.backends import (
    Backend,
    Checkpoint,
    Execution,
    Request,
    Support,
    load_backend,
)

if TYPE_CHECKING:
    from torch import nn


class NewTypeName(Backend):
    """Loads the models that the backend transformers loads, in float32."""

    def supports(self, checkpoint: Checkpoint) -> Support:
        """Return whether it can load a checkpoint, judged by its files alone."""
        if checkpoint.model_kwargs.get("dtype"):
            return Support("the weights must stay in float32, so pass no dtype")
        return load_backend("transformers").supports(checkpoint)

    def load(self, checkpoint: Checkpoint, config: Any) -> tuple[nn.Module, Execution]:
        """Return the model, and the object that runs it."""
        model, library = load_backend("transformers").load(checkpoint, config)
        return model, NewTypeNameExecution(library)


class NewTypeNameExecution(Execution):
    """Runs a model in bfloat16.

    Args:
        library: Runs it as the backend transformers does.
    """

    def __init__(self, library: Execution) -> None:
        self.library = library

    def run(
        self, model: nn.Module, features: Mapping[str, Any], request: Request
    ) -> dict[str, Any]:
        """Return the features that the model writes."""
        import torch

        with torch.autocast(features["input_ids"].device.type, dtype=torch.bfloat16):
            return self.library.run(model, features, request)

    def save(self, model: nn.Module, folder: str) -> None:
        """Write the model as the backend transformers does."""
        self.library.save(model, folder)
