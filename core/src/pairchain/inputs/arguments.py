"""Checks arguments of a call: counts and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from pairchain.errors import InputError, warn
from pairchain.text.escaping import short_repr
from pairchain.text.nearest import nearest

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


def chosen_prompt(
    prompts: Mapping[str, str], default: str | None, *, prompt: str | None, name: str | None
) -> str | None:
    """Return the prompt's text, if any: ``prompt``, else the prompt named ``name``, else the one named ``default``."""
    if prompt is not None:
        if name is not None:
            warn(f"prompt overrides prompt_name, so the prompt named {name!r} is not used.")
        if not isinstance(prompt, str):
            raise InputError(f"the prompt is {prompt!r}, not a string.")
        return prompt
    name = default if name is None else name
    return None if name is None else prompts[check_prompt_name(name, prompts)]


def check_prompt_name(name: str, prompts: Mapping[str, str], *, title: str = "prompt") -> str:
    """Return ``name`` if it is one of ``prompts``; ``title`` says what it stands for, in errors."""
    if name not in prompts:
        raise InputError(
            f"there is no {title} named {name!r}{nearest(name, prompts)}.",
            next_step=f"the prompts are: {', '.join(sorted(prompts)) or 'none'}.",
        )
    return name
