"""Ranks the documents of Haystack; the component is in ``haystack_integrations.components.rankers.pairchain``."""

__version__ = "0.2.0"
