"""The Normalize module of pairchain: embeddings of unit length."""

from pairchain_normalize.normalize import Normalize as Normalize

__version__ = "0.1.0"

__all__ = ["Normalize"]
