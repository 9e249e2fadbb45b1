"""The Transformer module of pairchain: models of the transformers library as the first link of a chain."""

from pairchain.authoring import lazy_names

__version__ = "0.2.0"

# every chain loads this package's hooks; a chain without a Transformer must not wait for transformers to import
__getattr__, __all__ = lazy_names(__name__, __file__, globals())
