"""Chooses the prompt of a call."""

from __future__ import annotations

from collections.abc import Mapping

from pairchain.errors import InputError, warn
from pairchain.text.nearest import nearest


def choose(prompts: Mapping[str, str], default: str | None, *, prompt: str | None, name: str | None) -> str | None:
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
