"""The LayerNorm module of pairchain: layer normalisation of an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_layer_norm.layer_norm import LayerNorm as LayerNorm

__version__ = "0.1.0"

__all__ = ["LayerNorm"]


def __getattr__(name: str) -> Any:
    # inspection imports this package for its hooks, and must not wait for torch
    if name != "LayerNorm":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pairchain_layer_norm.layer_norm import LayerNorm

    return LayerNorm
