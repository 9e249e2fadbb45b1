"""Parts of features: what a module reads of one, so that the module that writes it can leave the rest uncomputed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Part:
    """One position of each input in a feature of shape (inputs, positions, size), and some of its columns.

    Attributes:
        position: The first or the last token of an input; padding does not count.
        columns: Indices on the last axis, in the order they are wanted; None for all of it.
    """

    position: Literal["first", "last"]
    columns: tuple[int, ...] | None = None

    def of(self, feature: str) -> str:
        """Return the name under which this part of ``feature`` is among the features, shape (inputs, columns)."""
        return f"{feature}[{self.position}{'' if self.columns is None else f', {list(self.columns)}'}]"


def wanted_parts(offered: Iterable[str], readers: Sequence[Any], read_after: frozenset[str] | None) -> dict[str, Part]:
    """Return, for each feature of which nobody reads more than one part, that part.

    Args:
        offered: Features that a module can write in part.
        readers: The modules after it. One that does not say what it reads may read everything.
        read_after: Features that are read after the last of them; None if that may be any.
    """
    found: dict[str, Part] = {}
    if read_after is None or any(getattr(module, "reads", None) is None for module in readers):
        return found
    for feature in set(offered) - read_after:
        wanted = {getattr(module, "reads_part", {}).get(feature) for module in readers if feature in module.reads}
        if len(wanted) == 1 and (part := wanted.pop()) is not None:
            found[feature] = part
    return found
