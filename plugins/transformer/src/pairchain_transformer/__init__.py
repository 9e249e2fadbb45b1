"""The Transformer module of pairchain: models of the transformers library as the first link of a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_transformer.transformer import Transformer as Transformer

__version__ = "0.1.0"

__all__ = ["Transformer"]


def __getattr__(name: str) -> Any:
    # every chain loads this package's hooks; a chain without a Transformer must not wait for transformers to import
    if name == "Transformer":
        from pairchain_transformer.transformer import Transformer

        globals()[name] = Transformer
        return Transformer
    raise AttributeError(f"module 'pairchain_transformer' has no attribute {name!r}")
