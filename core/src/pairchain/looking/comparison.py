"""Comparing scores with those of another library, through the plugin that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pairchain import hooks
from pairchain.errors import PluginError
from pairchain.registry import default

_BRIDGE = "pairchain-sentence-transformers"


def compare(model: Any, pairs: Sequence[Any], **options: Any) -> Any:
    """Score ``pairs`` with sentence-transformers and with pairchain, and return both results.

    Args:
        model: A model's name or path, or a `CrossEncoder`.
        pairs: A list of pairs.
        **options: ``batch_size``, ``prompt``, ``prompt_name``, ``activation_fn`` and ``apply_softmax``, as for
            ``predict``; and for a name or path the options with which both load it, such as ``revision``.

    Returns:
        The bridge's result, which prints as a table and has ``ours``, ``theirs``, ``differences``, ``largest``,
        ``ranks``, ``versions``, ``dtypes`` and ``to_json()``.

    Raises:
        PluginError: The bridge or that library is not installed, or the bridge is disabled.
    """
    answer = hooks.ask_one("pairchain_compare", object, model=model, pairs=pairs, options=options)
    if answer is None:
        why, next_step = default.installation.absence(_BRIDGE)
        raise PluginError(
            f"comparing needs the plugin {_BRIDGE}, which is {why}.", distribution=_BRIDGE, next_step=next_step
        )
    return answer
