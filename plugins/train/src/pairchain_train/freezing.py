"""Chooses the parts of a chain that are trained."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from pairchain.authoring import nearest
from pairchain.errors import InputError


def freeze(chain: nn.Module, *patterns: str) -> list[str]:
    """Freeze the parameters in the modules that ``patterns`` name, and return their names.

    Args:
        chain: The chain.
        *patterns: Names of modules or parameters as ``chain.named_parameters()`` lists them, such as
            ``0.model.bert.embeddings``; with ``*`` for any text.

    Raises:
        InputError: A pattern names nothing.
    """
    chosen = _named(chain, patterns)
    for name, parameter in chain.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)
    return chosen


def train_only(chain: nn.Module, *patterns: str) -> list[str]:
    """Freeze everything but the modules that ``patterns`` name, and return the names of their parameters.

    Args:
        chain, *patterns: As for `freeze`.

    Raises:
        InputError: A pattern names nothing.
    """
    chosen = _named(chain, patterns)
    chain.requires_grad_(False)
    for name, parameter in chain.named_parameters():
        parameter.requires_grad_(name in chosen)
    return chosen


def _named(chain: nn.Module, patterns: Sequence[str]) -> list[str]:
    names = [name for name, _ in chain.named_parameters()]
    found = set()
    for pattern in patterns:
        own = {name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")}
        if not own:
            modules = [name for name, _ in chain.named_modules() if name]
            raise InputError(
                f"no part of the chain is named {pattern!r}{nearest(pattern, [*modules, *names])}.",
                next_step="print(chain) shows its modules; 0 is the first.",
            )
        found |= own
    return [name for name in names if name in found]
