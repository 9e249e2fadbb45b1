"""Ranks the documents of Haystack; the component is in ``haystack_integrations.components.rankers.pairchain``."""

__version__ = "0.1.0"
