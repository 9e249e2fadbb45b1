"""What configurations say about single layers: their kind of attention, and their rotary positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pairchain_packed.architecture import Rotary
from pairchain_packed.families.entries import Entries, NotTakenError

FULL, SLIDING = "full_attention", "sliding_attention"


def head_size(size: int, heads: int) -> int:
    """Return the size of a head, of ``heads`` in a hidden state of ``size``."""
    if size % heads:
        raise NotTakenError(f"config.json has {heads} heads for {size} elements")
    return size // heads


def layer_kinds(entries: Entries, layers: int, kind_of: Callable[[int], str]) -> tuple[str, ...]:
    """Return the kind of attention of each layer.

    Args:
        entries: The configuration, which may list them in ``layer_types``.
        layers: The number of layers.
        kind_of: Returns the kind of a layer by its number, if they are not listed.
    """
    kinds = entries.get("layer_types") or [kind_of(number) for number in range(layers)]
    if len(kinds) != layers or not set(kinds) <= {FULL, SLIDING}:
        raise NotTakenError(f"layer_types is {kinds!r}")
    return tuple(kinds)


def rotary_of(entries: Entries, name: str, base: float, kind: str | None = None) -> Rotary:
    """Return the rotary positions of a layer.

    Args:
        entries: The configuration: transformers 5 writes ``rope_parameters``, and earlier versions an entry for the
            base, and ``rope_scaling``.
        name: The name of the entry for the base.
        base: The base if none is given.
        kind: The kind of attention, if ``rope_parameters`` has an entry for each.
    """
    saved_base = entries.number(name, base)
    written, earlier = entries.get("rope_parameters"), entries.get("rope_scaling")
    if written and earlier:
        raise NotTakenError("config.json has both rope_parameters and rope_scaling")
    given = written or earlier or {}
    if not isinstance(given, Mapping):
        raise NotTakenError(f"rope_parameters is {given!r}")
    if kind is not None and isinstance(given.get(kind), Mapping):
        given = given[kind]
    return _rotary(dict(given), saved_base)


def _rotary(given: dict[str, Any], base: float) -> Rotary:
    form = given.pop("rope_type", None) or given.pop("type", None) or "default"
    given.pop("type", None)
    base = float(given.pop("rope_theta", None) or base)
    if form == "default":
        found = Rotary(base)
        given.pop("factor", None)
    elif form == "linear":
        found = Rotary(base, float(given.pop("factor")))
    elif form == "llama3":
        bands = (
            float(given.pop("low_freq_factor")),
            float(given.pop("high_freq_factor")),
            int(given.pop("original_max_position_embeddings")),
        )
        found = Rotary(base, float(given.pop("factor")), bands)
    else:
        raise NotTakenError(f"rope_type is {form!r}")
    if given:
        raise NotTakenError(f"rope_parameters has {', '.join(map(repr, given))}")
    return found
