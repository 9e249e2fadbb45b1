"""Where the command writes: results to stdout, all else to stderr, in colour only where a person reads it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_is_quiet = False
_has_color: bool | None = None


def set_up(*, quiet: bool, color: bool | None) -> None:
    """Say how to write, for the rest of the process.

    Args:
        quiet: Whether only results and errors are written.
        color: Whether to colour; None where a terminal wants it and NO_COLOR does not forbid it.
    """
    global _is_quiet, _has_color
    _is_quiet, _has_color = quiet, color


def is_quiet() -> bool:
    """Return whether only results and errors are wanted."""
    return _is_quiet


def is_plain() -> bool:
    """Return whether nobody wants colours, even on a terminal."""
    return _has_color is False or bool(os.environ.get("NO_COLOR"))


def results() -> Console:
    """Return the console for what was asked for."""
    return _console(stderr=False)


def notes() -> Console:
    """Return the console for what is told besides: progress, hints, warnings."""
    return _console(stderr=True, quiet=_is_quiet)


def report(error: str) -> None:
    """Write an error, also where all else is quiet."""
    _console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)


def is_watched() -> bool:
    """Return whether a person reads stderr, and wants to see progress."""
    return sys.stderr.isatty() and not _is_quiet


def _console(*, stderr: bool, quiet: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, quiet=quiet, no_color=None if _has_color is None else not _has_color)
