"""Hooks for pairchain: opens models as ``new-entry-name://NAME``."""

__version__ = "0.1.0"
