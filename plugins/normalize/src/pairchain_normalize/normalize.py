"""Normalize: embeddings of unit length."""

from __future__ import annotations

from typing import Any

from torch.nn import functional

from pairchain import Module
from pairchain.authoring import checked_feature


class Normalize(Module):
    """Divides an embedding by its Euclidean norm, over the last axis.

    Format: sentence-transformers ``base.modules.Normalize``; older versions saved no configuration file.

    Args:
        module_input_name: The feature it reads.
        module_output_name: The feature it writes; None for the one it reads.
    """

    config_keys = ["module_input_name", "module_output_name"]
    module_type = "sentence_transformers.base.modules.normalize.Normalize"
    is_thread_safe = True

    def __init__(self, module_input_name: str = "sentence_embedding", module_output_name: str | None = None) -> None:
        super().__init__()
        self.module_input_name = checked_feature(module_input_name, "module_input_name")
        self.module_output_name = module_output_name or module_input_name
        self.writes = frozenset({self.module_output_name})

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        """The feature that it reads."""
        return frozenset({self.module_input_name})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with the embedding scaled to unit length, in the same shape."""
        features[self.module_output_name] = functional.normalize(features[self.module_input_name], p=2, dim=-1)
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the configuration; there are no weights."""
        self.save_config(output_path)
