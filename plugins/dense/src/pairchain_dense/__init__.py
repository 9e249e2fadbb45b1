"""The Dense module of pairchain: a feed-forward layer that projects or scores an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_dense.dense import Dense as Dense

__version__ = "0.1.0"

__all__ = ["Dense"]


def __getattr__(name: str) -> Any:
    # inspection imports this package for its hooks, and must not wait for torch
    if name != "Dense":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pairchain_dense.dense import Dense

    return Dense
