"""The Router module of pairchain: several chains in one module, one for each kind of input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_router.router import Router as Router

__version__ = "0.1.0"

__all__ = ["Router"]


def __getattr__(name: str) -> Any:
    # inspection imports this package for its hooks, and must not wait for torch
    if name != "Router":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pairchain_router.router import Router

    return Router
