"""The bridge to sentence-transformers: runs its custom modules, loads its other types, and compares scores."""

__version__ = "0.2.0"
