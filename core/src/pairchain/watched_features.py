"""Features that remember who takes what: a module gets them while it is traced, and does not notice."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any

import torch

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Feature:
    """What a feature was when it was seen; its values are not kept.

    Attributes:
        kind: Its dtype, such as ``float32``, or the type of what is no tensor or array.
        shape: Its shape; None for what has none.
        device: Where a tensor is; empty for anything else.
        bytes: What its values take, those of tensors inside it included; 0 for what is no tensor or array.
    """

    kind: str
    shape: tuple[int, ...] | None = None
    device: str = ""
    bytes: int = 0

    @classmethod
    def of(cls, value: Any) -> Feature:
        """Return what ``value`` is."""
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
    """A copy of features that notes what is read and written; see `give_back`.

    Attributes:
        needed: Features that were read without asking first whether they are there.
        read: All that were read by name; not those that the reader had written itself.
        is_swept: Whether all were taken together, as ``dict(features)`` and ``f(**features)`` do. Which of them are
            then used, nobody can tell.
        written: Features that were written.
    """

    def __init__(self, features: dict[str, Any]) -> None:
        super().__init__(_plain(features))
        self.needed: dict[str, Feature] = {}
        self.read: dict[str, Feature] = {}
        self.is_swept = False
        self.written: set[str] = set()
        self._asked: set[str] = set()
        # what a copy reads next, and what it has read so far; a loop that leaves one out is no copy
        self._sweep: Iterator[str] | None = None
        self._in_sweep: list[str] = []

    def give_back(self, features: dict[str, Any]) -> None:
        """Do to ``features``, which this is a copy of, what was done to the copy."""
        self._end_sweep()
        mine = _plain(self)
        for name in [name for name in _plain(features) if name not in mine]:
            dict.__delitem__(features, name)
        for name in self.written & mine.keys():
            features[name] = mine[name]

    def plain(self) -> dict[str, Any]:
        """Return them in an ordinary dict, without reading any."""
        return _plain(self)

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if self._sweep is not None:
            self._in_sweep.append(name)
            if next(self._sweep, None) != name:
                self._end_sweep()
            elif len(self._in_sweep) == len(self):
                self._sweep, self._in_sweep, self.is_swept = None, [], True
        else:
            self._note(name, value)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a feature; see `dict.get`."""
        self._asked.add(name)
        return self._taken(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        """Take a feature out; see `dict.pop`."""
        if default:
            self._asked.add(name)
        self._taken(name)
        return super().pop(name, *default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return a feature, written if it is not there; see `dict.setdefault`."""
        if dict.__contains__(self, name):
            return self.get(name)
        self[name] = default
        return default

    def popitem(self) -> tuple[str, Any]:
        """Take the last feature out; see `dict.popitem`."""
        name = next(reversed(_plain(self)), "")
        return (name, self.pop(name)) if name else super().popitem()

    def update(self, *others: Any, **more: Any) -> None:
        """Write features; see `dict.update`."""
        for name, value in dict(*others, **more).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        self.written.add(name)
        super().__setitem__(name, value)

    def __contains__(self, name: object) -> bool:
        self._asked.add(str(name))
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        self._begin_sweep()
        return super().__iter__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return their names; see `dict.keys`."""
        self._begin_sweep()
        return self.plain().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return all of them; see `dict.values`."""
        self.is_swept = True
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return all of them with their names; see `dict.items`."""
        self.is_swept = True
        return super().items()

    def copy(self) -> dict[str, Any]:
        """Return a copy, of which no one notes anything; see `dict.copy`."""
        self.is_swept = True
        return self.plain()

    __copy__ = copy

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    def _taken(self, name: str, default: Any = None) -> Any:
        value = super().get(name, _ABSENT)
        if value is _ABSENT:
            return default
        self._note(name, value)
        return value

    def _note(self, name: str, value: Any) -> None:
        if name in self.written:
            return
        feature = self.read.setdefault(name, Feature.of(value))
        if name not in self._asked:
            self.needed[name] = feature

    def _begin_sweep(self) -> None:
        self._end_sweep()
        self._sweep = iter(list(_plain(self)))

    def _end_sweep(self) -> None:
        """Count as read by name what was read of a copy that did not come to its end."""
        names, self._sweep, self._in_sweep = self._in_sweep, None, []
        for name in names:
            if dict.__contains__(self, name):
                self._note(name, super().__getitem__(name))


def _plain(features: dict[str, Any]) -> dict[str, Any]:
    return dict(dict.items(features))
