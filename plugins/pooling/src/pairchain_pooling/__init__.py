"""The Pooling module of pairchain: one embedding from those of the tokens."""

from pairchain_pooling.pooling import Pooling as Pooling

__version__ = "0.1.0"

__all__ = ["Pooling"]
