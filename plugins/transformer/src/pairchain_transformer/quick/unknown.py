"""The exception for what the quick reader leaves to the transformers library."""

from __future__ import annotations


class NeedsLibraryError(BaseException):
    """The quick reader does not know how the library would do this; a Transformer then imports the library.

    It is no failure of an input or of a template, so code that catches those must not catch it.
    """
