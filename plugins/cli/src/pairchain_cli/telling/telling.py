"""What a person reads, line by line. Whoever wrote a part of it, no line steers the terminal or looks like two."""

from __future__ import annotations

import os
import warnings
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from pairchain.authoring import on_one_line, readable
from pairchain.errors import PairchainWarning
from pairchain_cli.telling import terminal


class PlainGroup(TyperGroup):
    """A list of commands without boxes around it: what draws them takes longer to import than all else."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "rich_markup_mode": None})


def write(*parts: str | tuple[str, str]) -> None:
    """Write a line of results, made of texts and of texts with their colour."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    line = "".join(typer.style(on_one_line(text), fg=color) if color else on_one_line(text) for text, color in pairs)
    # rich would draw the same, and takes longer to import than it takes to list all plugins
    typer.echo(line, color=False if terminal.is_plain() else None)


def note(text: str) -> None:
    """Write a line besides the results; nothing where only those are wanted."""
    if not terminal.is_quiet():
        typer.echo(on_one_line(text), err=True)


def keep_bars_away() -> None:
    """Keep other libraries from drawing bars that nobody watches; they look at this when they are imported."""
    if not terminal.is_watched():
        for variable in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
            os.environ.setdefault(variable, "1")


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: Any = None,
) -> None:
    """Show a warning of pairchain without the line of code that it is about; for `warnings.showwarning`."""
    if issubclass(category, PairchainWarning):
        first, *more = str(message).split("\n")
        for text in (f"warning: {first}", *(f"  {line}" for line in more)):
            note(text)
    elif not terminal.is_quiet():
        # other libraries repeat what a model's files say as well
        _show(readable(str(message)), category, filename, lineno, file, line)


_show = warnings.showwarning
