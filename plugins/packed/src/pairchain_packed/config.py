"""The configuration of a loaded model: the entries of ``config.json`` as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pairchain_packed.recipe import Recipe


class PackedConfig:
    """The entries of a ``config.json``, and what the library derives from them, as attributes.

    Args:
        entries: The entries.
        recipe: The model that was made of them.
    """

    def __init__(self, entries: Mapping[str, Any], recipe: Recipe) -> None:
        self._entries = dict(entries)
        self._class_name = recipe.class_name
        plan = recipe.plan
        derived = {
            "hidden_size": plan.size,
            "num_hidden_layers": len(plan.layers),
            "vocab_size": plan.embedding.tokens,
            "type_vocab_size": plan.embedding.types,
            "num_labels": recipe.labels or 2,
            "pad_token_id": plan.padding,
            "is_encoder_decoder": False,
            "output_hidden_states": False,
            "max_position_embeddings": plan.embedding.positions or None,
        }
        vars(self).update(
            {**derived, **self._entries, **{name: derived[name] for name in ("num_labels", "hidden_size")}}
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"config.json has no {name!r}")

    def get_text_config(self, **kwargs: Any) -> Self:
        """Return itself: these models read only text."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the entries as they are saved."""
        return {**self._entries, "architectures": [self._class_name]}
