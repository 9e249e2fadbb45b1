"""Which prompt a call uses."""

from __future__ import annotations

from collections.abc import Mapping

from pairchain.errors import InputError, warn
from pairchain.text.nearest import nearest


def choose(prompts: Mapping[str, str], default: str | None, *, prompt: str | None, name: str | None) -> str | None:
    """Return the prompt's text, or None for no prompt.

    Args:
        prompts: Prompt texts by name.
        default: Name of the prompt used when none is asked for.
        prompt: A text asked for; it comes before ``name``, and an empty one switches the default off.
        name: A name asked for.

    Raises:
        InputError: There is no prompt of that name, or the prompt is no text.
    """
    if prompt is not None:
        if name is not None:
            warn(f"a prompt is given, so the prompt named {name!r} is not used.")
        if not isinstance(prompt, str):
            raise InputError(f"the prompt is {prompt!r}, not a text.")
        return prompt
    if name is None:
        name = default
    return None if name is None else prompts[known(name, prompts, called="prompt")]


def known(name: str, prompts: Mapping[str, str], *, called: str) -> str:
    """Return ``name`` if it is one of ``prompts``.

    Args:
        called: What the name is, for the error.

    Raises:
        InputError: It is none of them.
    """
    if name not in prompts:
        raise InputError(
            f"there is no {called} named {name!r}{nearest(name, prompts)}.",
            next_step=f"these prompts are known: {', '.join(sorted(prompts)) or 'none'}.",
        )
    return name
