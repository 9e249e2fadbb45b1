"""The Pooling module of pairchain: one embedding from those of the tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_pooling.pooling import Pooling as Pooling

__version__ = "0.1.0"

__all__ = ["Pooling"]


def __getattr__(name: str) -> Any:
    # inspection loads the hooks in this package, and must not wait for torch
    if name != "Pooling":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pairchain_pooling.pooling import Pooling

    return Pooling
