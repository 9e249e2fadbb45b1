"""Encodes the inputs of one route, even if another route cannot encode its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pairchain import Encoded
from pairchain.authoring import collate_with, encode_with, preprocess_with


@dataclass(frozen=True, eq=False, slots=True)
class Route:
    """A route, and the arguments of ``predict`` that it receives.

    Attributes:
        name: Its name.
        modules: Its modules by name.
        prompt: The prompt's text.
        keywords: Keyword arguments of ``predict``.
    """

    name: str
    modules: Mapping[str, Any]
    prompt: str | None
    keywords: Mapping[str, Any]

    def encode(self, items: Sequence[Encoded], read_after: frozenset[str] | None) -> tuple[list[Encoded], bool]:
        """Return inputs, and whether the first module encoded them; it may preprocess only complete batches."""
        inputs = [item.values for item in items]
        encoded = encode_with(self.modules, inputs, self.prompt, self.keywords, read_after)
        if encoded is None:
            return [replace(item, values=(self, item, False)) for item in items], False
        return [replace(item, values=(self, item, True), key=(self.name, item.key)) for item in encoded], True

    def collate(self, items: Sequence[Encoded], *, are_encoded: bool) -> dict[str, Any]:
        """Return the first module's features for inputs that `encode` returned."""
        first = next(iter(self.modules.values()))
        if are_encoded:
            return collate_with(first, items)
        return preprocess_with(first, [item.values for item in items], self.prompt, self.keywords)
