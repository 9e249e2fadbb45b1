"""Fine-tune any chain of pairchain with the Trainer of transformers."""

from pairchain.authoring import lazy_names

__version__ = "0.2.0"

# the help of `pairchain train` imports this package, and must not wait for torch
__getattr__, __all__ = lazy_names(__name__, __file__, globals())
