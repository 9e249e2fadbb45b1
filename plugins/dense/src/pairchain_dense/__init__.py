"""The Dense module of pairchain: a feed-forward layer, to project an embedding or to score it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_dense.dense import Dense as Dense

__version__ = "0.1.0"

__all__ = ["Dense"]


def __getattr__(name: str) -> Any:
    # inspection loads the hooks in this package, and must not wait for torch
    if name != "Dense":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pairchain_dense.dense import Dense

    return Dense
