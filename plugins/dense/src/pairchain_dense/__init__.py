"""The Dense module of pairchain: a feed-forward layer, to project an embedding or to score it."""

from pairchain_dense.dense import Dense as Dense

__version__ = "0.1.0"

__all__ = ["Dense"]
