"""The version of pairchain-core."""

__version__ = "0.2.0"
