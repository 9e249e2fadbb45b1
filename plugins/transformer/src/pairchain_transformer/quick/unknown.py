"""The exception for what the quick reader leaves to the transformers library."""

from __future__ import annotations


class NeedsLibraryError(Exception):
    """The quick reader does not know how the library would do this; a Transformer then imports the library."""
