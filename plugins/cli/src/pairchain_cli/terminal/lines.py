"""Writes lines, notes, warnings and errors, escaped so that no text can steer the terminal or fake a second line."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from typing import Any, TextIO

import typer

from pairchain.authoring import on_one_line, readable
from pairchain.errors import PairchainError, PairchainWarning, TrustRequiredError
from pairchain_cli.terminal import consoles

# An argument with its value, such as allow_pickle=True.
_ARGUMENT = re.compile(r"\b([a-z_]+)=(\[[^\]]*\]|'[^']*'|[\w-]*)")
_CALL = re.compile(r"pairchain\.(\w+)\(…\)")
# An argument without a value, which only a next step is sure to mean.
_NAME = re.compile(r"(?<![-'\w])[a-z]+(?:_[a-z]+)+(?!['\w])")
_QUOTED = re.compile("'([^']*)'")

# The options of the running command, by the argument of pairchain that each sets.
_options: Mapping[str, str] = {}


def name_options(options: Mapping[str, str]) -> None:
    """Make errors and warnings about an argument name its option, such as ``--batch-size`` for ``batch_size``."""
    global _options
    _options = options


def in_options(text: str) -> str:
    """Return ``text`` with the running command's options instead of arguments such as ``allow_pickle=True``.

    A call such as ``pairchain.lock(…)`` becomes a command.
    """
    return _CALL.sub(r"pairchain \1", _ARGUMENT.sub(_as_option, text))


def write(*parts: str | tuple[str, str]) -> None:
    """Write a line of results; each part is a text, or a text with its colour."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    line = "".join(typer.style(on_one_line(text), fg=color) if color else on_one_line(text) for text, color in pairs)
    # not with rich: importing it takes longer than listing all plugins
    typer.echo(line, color=False if consoles.is_plain() else None)


def note(text: str) -> None:
    """Write a line to stderr, unless the command is quiet."""
    if not consoles.is_quiet():
        typer.echo(on_one_line(text), err=True)


def report(error: PairchainError | str) -> None:
    """Write an error, even if the command is quiet."""
    text = error if isinstance(error, str) else _with_option(error)
    typer.secho(f"error: {text}", fg="red", err=True, color=False if consoles.is_plain() else None)


def silence_progress_bars() -> None:
    """Stop other libraries from drawing progress bars outside a terminal; call it before importing them."""
    if not consoles.is_watched():
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
    """Replace `warnings.showwarning`: show pairchain's own warnings without the line of code."""
    if issubclass(category, PairchainWarning):
        first, *more = in_options(str(message)).split("\n")
        if option := _options.get(getattr(message, "argument", "")):
            more.append(f"option: {option}")
        for text in (f"warning: {first}", *(f"  {line}" for line in more)):
            note(text)
    elif not consoles.is_quiet():
        # warnings of other libraries may contain text from a model's files
        _show(readable(str(message)), category, filename, lineno, file, line)


def _with_option(error: PairchainError) -> str:
    """Return the text of an error, with the running command's options instead of the arguments that it names."""
    if isinstance(error, TrustRequiredError) and error.approvals and (option := _options.get("trust_remote_code")):
        approvals = " ".join(f"{option} {approval}" for approval in error.approvals)
        step = f"read the code; if you trust it, add {approvals}"
        return str(PairchainError(error.what, where=error.where, next_step=step))
    step = _NAME.sub(lambda name: _options.get(name[0], name[0]), in_options(error.next_step))
    text = str(PairchainError(error.what, where=error.where, next_step=step))
    option = _options.get(error.argument, "")
    return f"{text}\n  option: {option}" if option else text


def _as_option(argument: re.Match[str]) -> str:
    name, value = argument[1], argument[2]
    option = _options.get("activation" if name == "activation_fn" else name)
    if option is None:
        return argument[0]
    if texts := _QUOTED.findall(value):
        return " ".join(f"{option} {text}" for text in texts)
    if name == "trust_remote_code":
        return f"{option} any"
    return option if value in ("", "True") else f"{option} {value}"


_show = warnings.showwarning
