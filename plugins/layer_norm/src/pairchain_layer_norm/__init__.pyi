from pairchain_layer_norm.layer_norm import LayerNorm as LayerNorm

__version__: str
