"""The Normalize module of pairchain: embeddings of unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_normalize.normalize import Normalize as Normalize

__version__ = "0.1.0"

__all__ = ["Normalize"]


def __getattr__(name: str) -> Any:
    # inspection imports this package for its hooks, and must not wait for torch
    if name != "Normalize":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pairchain_normalize.normalize import Normalize

    return Normalize
