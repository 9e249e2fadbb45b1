"""The loss new-entry-name for pairchain."""

__version__ = "0.1.0"
