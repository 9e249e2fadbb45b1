"""The command `pairchain new-command-name`."""

__version__ = "0.1.0"
