"""A dict of features that records which of them a module reads and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Feature:
    """The description of a feature, without its values.

    Attributes:
        kind: The dtype of a tensor or array, such as ``float32``; otherwise the type.
        shape: The shape of a tensor or array, or the length of a collection; None for anything else.
        device: The device of a tensor; empty for anything else.
        bytes: The size of its values, including tensors in a collection; 0 without tensors or arrays.
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
    """A copy of features that records reads and writes.

    Attributes:
        read: The features that the module read by name before writing them itself.
        needed: The features in ``read`` that the module read without first asking whether they exist.
        took_all: Whether the module took all features together, as ``dict(features)`` and ``f(**features)`` do. The
            copy cannot tell which of them the module then uses.
        written: The features that were written.
    """

    def __init__(self, features: dict[str, Any]) -> None:
        super().__init__(plain(features))
        self.read: dict[str, Feature] = {}
        self.needed: dict[str, Feature] = {}
        self.took_all = False
        self.written: set[str] = set()
        self._asked: set[str] = set()
        # copying all features iterates over the names, then reads each in order; any other loop reads by name
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
        """Record the features that a loop read before it stopped or skipped one."""
        names, self._next, self._copied = self._copied, None, []
        for name in names:
            if super().__contains__(name):
                self._note(name)


def plain(features: dict[str, Any]) -> dict[str, Any]:
    """Return ``features`` as an ordinary dict, without recording a read."""
    return dict(dict.items(features))
