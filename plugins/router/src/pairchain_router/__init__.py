"""The Router module of pairchain: a chain for each kind of input, side by side in one module."""

from pairchain_router.router import Router as Router

__version__ = "0.1.0"

__all__ = ["Router"]
