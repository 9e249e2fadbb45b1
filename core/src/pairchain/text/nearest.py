"""Suggests the name that a misspelled one may stand for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST_NAME = 200


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the candidate closest to ``name``, or an empty string."""
    if len(name) > _LONGEST_NAME:
        return ""
    names = {candidate for candidate in candidates if len(candidate) <= _LONGEST_NAME}
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
