"""The bridge of pairchain to sentence-transformers: its custom modules, its other types, and comparisons."""

__version__ = "0.1.0"
