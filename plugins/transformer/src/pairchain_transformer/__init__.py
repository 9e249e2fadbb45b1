"""The Transformer module of pairchain: models of the transformers library as the first link of a chain."""

from pairchain_transformer.transformer import Transformer as Transformer

__version__ = "0.1.0"

__all__ = ["Transformer"]
