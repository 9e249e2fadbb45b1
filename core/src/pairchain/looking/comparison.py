"""Comparing scores with those of another library, through the plugin that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pairchain import hooks
from pairchain.errors import PluginError
from pairchain.registry import default
from pairchain.registry.groups import HOOKS_GROUP

_BRIDGE = "pairchain-sentence-transformers"


def compare(model: Any, pairs: Sequence[Any], **options: Any) -> Any:
    """Return how sentence-transformers scores ``pairs``, beside how pairchain does.

    Args:
        model: A model's name or path, or a `CrossEncoder`.
        pairs: A list of pairs.
        **options: ``batch_size``, and for a name or path what both load it with, such as ``revision``.

    Returns:
        What the bridge makes of it: it prints as a table, and has ``ours``, ``theirs``, ``differences``, ``largest``,
        ``ranks``, ``versions``, ``dtypes`` and ``to_json()``.

    Raises:
        PluginError: The bridge or that library is not installed, or the bridge is not allowed.
    """
    answer = hooks.ask_one("pairchain_compare", object, model=model, pairs=pairs, options=options)
    if answer is None:
        blocked = (
            default.blocked(found) for found in default.installation.find(HOOKS_GROUP) if found.distribution == _BRIDGE
        )
        variable = next(filter(None, blocked), None)
        raise PluginError(
            f"no {'plugin that is allowed' if variable else 'installed plugin'} compares with another library.",
            distribution=_BRIDGE,
            next_step=f"change {variable}." if variable else f"pip install {_BRIDGE}",
        )
    return answer
