"""Features that note which of them a module reads and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature without its values.

    Attributes:
        kind: The dtype of a tensor or array, such as ``float32``, else the type.
        shape: The shape of a tensor or array, the length of a collection; None for anything else.
        device: The device of a tensor; empty for anything else.
        bytes: The size of its values, those of tensors in a collection included; 0 without tensors or arrays.
    """

    kind: str
    shape: tuple[int, ...] | None = None
    device: str = ""
    bytes: int = 0

    @classmethod
    def of(cls, value: Any) -> Feature:
        """Describe ``value``."""
        if isinstance(value, torch.Tensor):
            kind = str(value.dtype).removeprefix("torch.")
            return cls(kind, tuple(value.shape), str(value.device), value.numel() * value.element_size())
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return cls(str(value.dtype), tuple(value.shape), "", int(getattr(value, "nbytes", 0)))
        if isinstance(value, Mapping | list | tuple):
            inside = value.values() if isinstance(value, Mapping) else value
            return cls(type(value).__name__, (len(value),), "", sum(cls.of(item).bytes for item in inside))
        return cls(type(value).__name__)


class WatchedFeatures(dict[str, Any]):
    """A copy of features that notes what is read and written.

    Attributes:
        read: The features that were read by name and not written before by the reader.
        needed: Those of them that were read without asking first whether they exist.
        took_all: Whether all features were taken together, as ``dict(features)`` and ``f(**features)`` do. The copy
            cannot tell which of them are then used.
        written: The features that were written.
    """

    def __init__(self, features: dict[str, Any]) -> None:
        super().__init__(plain(features))
        self.read: dict[str, Feature] = {}
        self.needed: dict[str, Feature] = {}
        self.took_all = False
        self.written: set[str] = set()
        self._asked: set[str] = set()
        # a copy of all features lists the names, then reads each in order; any other loop reads by name
        self._next: Iterator[str] | None = None
        self._copied: list[str] = []

    def give_back(self, features: dict[str, Any]) -> None:
        """Apply the changes made to this copy to ``features``, the original."""
        self._end_copying()
        mine = plain(self)
        for name in plain(features).keys() - mine.keys():
            dict.__delitem__(features, name)
        for name in self.written & mine.keys():
            features[name] = mine[name]

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if self._next is None:
            self._note(name)
        else:
            self._copied.append(name)
            if next(self._next, None) != name:
                self._end_copying()
            elif len(self._copied) == len(self):
                self._next, self._copied, self.took_all = None, [], True
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self.written.add(name)
        super().__setitem__(name, value)

    def __contains__(self, name: object) -> bool:
        self._asked.add(str(name))
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        self._end_copying()
        self._next = iter(list(plain(self)))
        return super().__iter__()

    def get(self, name: str, default: Any = None) -> Any:
        """See `dict.get`."""
        return self._taken(name) if name in self else default

    def pop(self, name: str, *default: Any) -> Any:
        """See `dict.pop`."""
        if default and name not in self:
            return default[0]
        value = self._taken(name)
        del self[name]
        return value

    def setdefault(self, name: str, default: Any = None) -> Any:
        """See `dict.setdefault`."""
        if name not in self:
            self[name] = default
        return self._taken(name)

    def copy(self) -> dict[str, Any]:
        """Return a plain copy."""
        return dict(self)

    def __or__(self, other: Any) -> Any:
        return dict(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    # dict's own methods would bypass those above
    keys, values, items = MutableMapping.keys, MutableMapping.values, MutableMapping.items  # type: ignore[assignment]
    update = MutableMapping.update

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def _taken(self, name: str) -> Any:
        value = super().__getitem__(name)
        self._note(name)
        return value

    def _note(self, name: str) -> None:
        if name in self.written:
            return
        feature = self.read.setdefault(name, Feature.of(super().__getitem__(name)))
        if name not in self._asked:
            self.needed[name] = feature

    def _end_copying(self) -> None:
        """Note what a loop that stopped early, or skipped a feature, read."""
        names, self._next, self._copied = self._copied, None, []
        for name in names:
            if super().__contains__(name):
                self._note(name)


def plain(features: dict[str, Any]) -> dict[str, Any]:
    """Return an ordinary dict of ``features`` without reading any of them."""
    return dict(dict.items(features))
