"""What the messages of other libraries say, where nothing but the message tells one failure from another."""

from __future__ import annotations

from enum import StrEnum


class Said(StrEnum):
    """Words in a message, by what the failure is."""

    NEEDS_TRUST = "trust_remote_code"
    PACKAGE_IS_MISSING = "not installed"
    TOO_SHORT_TO_CUT = "Truncation error"
    NO_CLASS_FOR_TASK = "Unrecognized configuration class"
    # of a sentence that goes on with every model that the library knows
    ENDLESS_LIST = "Model type should be one of"

    def by(self, error: BaseException) -> bool:
        """Return whether the message of ``error`` says so."""
        return self in str(error)


# A word in a message about a missing package → the extra of this distribution that brings the package.
EXTRAS = {
    "torchvision": "video",
    "torchcodec": "video",
    "soundfile": "audio",
    "librosa": "audio",
    "pillow": "image",
    "pil": "image",
}


def in_a_line(error: BaseException, most: int = 200) -> str:
    """Return the message of ``error`` on one line, cut to ``most`` characters."""
    return " ".join(str(error).split())[:most]


def is_of_bad_file(error: BaseException) -> bool:
    """Return whether a damaged file may raise ``error``; a panic of the tokenizers library is not an Exception."""
    ordinary = isinstance(error, Exception) and not isinstance(error, (MemoryError, Warning))
    return ordinary or type(error).__name__ == "PanicException"
