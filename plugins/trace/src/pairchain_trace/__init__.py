"""Traces a call of pairchain: its steps and their times, and what each module reads and writes."""

from pairchain.authoring import lazy_names

__version__ = "0.2.0"

# every load imports this package for its hook, but only a trace needs the rest
__getattr__, __all__ = lazy_names(__name__, __file__, globals())
