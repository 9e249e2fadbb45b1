"""Recognizes failures of other libraries by their messages, where nothing else distinguishes them."""

from __future__ import annotations

# Parts of messages.
NEEDS_TRUST = "trust_remote_code"
PACKAGE_IS_MISSING = "not installed"
TOO_SHORT_TO_CUT = "Truncation error"
NO_CLASS_FOR_TASK = "Unrecognized configuration class"
# the start of a sentence that lists every model of the library
ENDLESS_LIST = "Model type should be one of"


def in_a_line(error: BaseException, most: int = 200) -> str:
    """Return the message of ``error`` on one line, cut to ``most`` characters."""
    return " ".join(str(error).split())[:most]


def is_of_bad_file(error: BaseException) -> bool:
    """Return whether a damaged file may cause ``error``; a panic of the tokenizers library is not an Exception."""
    ordinary = isinstance(error, Exception) and not isinstance(error, (MemoryError, Warning))
    return ordinary or type(error).__name__ == "PanicException"
