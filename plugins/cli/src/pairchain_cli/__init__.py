"""The pairchain command. Only commands that need torch import it, directly or through another package."""

__version__ = "0.2.0"
