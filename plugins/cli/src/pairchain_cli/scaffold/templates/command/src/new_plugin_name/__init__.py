"""The command `pairchain new-entry-name`."""

__version__ = "0.1.0"
