"""Decides what the command writes besides results, and whether in colour."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_is_quiet = False
_is_plain = False


def set_up(*, quiet: bool, plain: bool) -> None:
    """Write only results and errors if ``quiet``, and without colours if ``plain``."""
    global _is_quiet, _is_plain
    _is_quiet, _is_plain = quiet, plain


def be_quiet() -> None:
    """Write only results and errors from now on."""
    set_up(quiet=True, plain=_is_plain)


def be_plain() -> None:
    """Write without colours from now on."""
    set_up(quiet=_is_quiet, plain=True)


def is_quiet() -> bool:
    """Return whether to write only results and errors."""
    return _is_quiet


def is_plain() -> bool:
    """Return whether colours are switched off, even on a terminal."""
    return _is_plain or bool(os.environ.get("NO_COLOR"))


def is_watched() -> bool:
    """Return whether stderr is a terminal and the command is not quiet."""
    return sys.stderr.isatty() and not _is_quiet


def console(*, stderr: bool) -> Console:
    """Return a console for stdout, which gets results, or for stderr, which gets everything else."""
    from rich.console import Console

    return Console(stderr=stderr, no_color=_is_plain or None)
