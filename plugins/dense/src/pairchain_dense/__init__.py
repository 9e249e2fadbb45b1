"""The Dense module of pairchain: a feed-forward layer that projects or scores an embedding."""

from pairchain.authoring import lazy_names

__version__ = "0.2.0"

# inspection imports this package for its hooks, and must not wait for torch
__getattr__, __all__ = lazy_names(__name__, __file__, globals())
