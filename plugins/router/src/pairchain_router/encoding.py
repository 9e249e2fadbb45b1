"""Encodes inputs of a Router by their routes, even if another route only takes inputs batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pairchain import Encoded
from pairchain.authoring import collate_with, encode_with, preprocess_with


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Inputs of one route.

    Attributes:
        route: The route.
        modules: Its modules by name.
        prompt: The prompt's text.
        keywords: Keyword arguments of ``predict``.
    """

    route: str
    modules: Mapping[str, Any]
    prompt: str | None
    keywords: Mapping[str, Any]

    def encode(self, items: Sequence[Encoded], read_after: frozenset[str] | None) -> list[Encoded] | None:
        """Return inputs as the route's first module encodes them, or None if it only takes them batch by batch.

        Args:
            items: The inputs, not encoded.
            read_after: Features that are read after the route; None if that may be any.

        Raises:
            InputError: An input cannot be scored; its index counts in ``items``.
        """
        inputs = [item.values for item in items]
        encoded = encode_with(self.modules, inputs, self.prompt, self.keywords, read_after)
        if encoded is None:
            return None
        return [replace(item, values=Routed(self, item), key=(self.route, item.key)) for item in encoded]

    def not_encoded(self, items: Sequence[Encoded]) -> list[Encoded]:
        """Return inputs that will be preprocessed batch by batch."""
        return [replace(item, values=Routed(self, item, is_encoded=False)) for item in items]


@dataclass(frozen=True, slots=True)
class Routed:
    """One input of a group.

    Attributes:
        group: The group.
        item: The input.
        is_encoded: Whether the route's first module encoded it.
    """

    group: Group
    item: Encoded
    is_encoded: bool = True


def collate(routed: Sequence[Routed]) -> dict[str, Any]:
    """Return the features that the first module of a route makes of inputs of one group."""
    group, items = routed[0].group, [each.item for each in routed]
    first = next(iter(group.modules.values()))
    if routed[0].is_encoded:
        return collate_with(first, items)
    return preprocess_with(first, [item.values for item in items], group.prompt, group.keywords)
