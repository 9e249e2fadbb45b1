"""The Pooling module of pairchain: one embedding from the embeddings of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_pooling.pooling import Pooling as Pooling

__version__ = "0.1.0"

__all__ = ["Pooling"]


def __getattr__(name: str) -> Any:
    # inspection imports this package for its hooks, and must not wait for torch
    if name != "Pooling":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pairchain_pooling.pooling import Pooling

    return Pooling
