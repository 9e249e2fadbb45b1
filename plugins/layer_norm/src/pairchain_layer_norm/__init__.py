"""The LayerNorm module of pairchain: layer normalisation of an embedding."""

from pairchain_layer_norm.layer_norm import LayerNorm as LayerNorm

__version__ = "0.1.0"

__all__ = ["LayerNorm"]
