from pairchain_transformer.transformer import Transformer as Transformer

__version__: str
