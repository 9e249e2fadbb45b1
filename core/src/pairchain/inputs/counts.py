"""Checks arguments that are counts."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from pairchain.errors import InputError
from pairchain.text.escaping import short_repr

# The next step for a wrong size in memory.
BYTES = "pass a number of bytes such as 2**28, or 0 for none."


def is_count(value: Any, *, least: int = 1) -> bool:
    """Return whether ``value`` is an integer of at least ``least``; True, 2.0 and "2" are not."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def checked_count(value: Any, name: str, *, least: int = 1, next_step: str = "pass a number such as 32.") -> int:
    """Return ``value`` as an int if it is a count of at least ``least``; ``name`` is its name in errors.

    Raises:
        InputError: It is not.
    """
    if not is_count(value, least=least):
        wanted = "a positive integer" if least else "a positive integer or 0"
        raise InputError(f"{name} must be {wanted}, got {short_repr(value)}.", next_step=next_step)
    return int(value)
