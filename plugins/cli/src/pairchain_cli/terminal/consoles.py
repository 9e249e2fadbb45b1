"""Decides what the command writes besides results, and whether in colour."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_is_quiet = False
_has_color: bool | None = None


def set_up(*, quiet: bool, color: bool | None) -> None:
    """Write only results and errors if ``quiet``; if ``color`` is None, the terminal and NO_COLOR decide."""
    global _is_quiet, _has_color
    _is_quiet, _has_color = quiet, color


def is_quiet() -> bool:
    """Return whether to write only results and errors."""
    return _is_quiet


def is_plain() -> bool:
    """Return whether colours are switched off, even on a terminal."""
    return _has_color is False or bool(os.environ.get("NO_COLOR"))


def is_watched() -> bool:
    """Return whether stderr is a terminal and the command is not quiet."""
    return sys.stderr.isatty() and not _is_quiet


def console(*, stderr: bool) -> Console:
    """Return a console for stdout, which gets results, or for stderr, which gets everything else."""
    from rich.console import Console

    return Console(stderr=stderr, no_color=None if _has_color is None else not _has_color)
