"""Functions on features: copy them, select rows, compare them, and record which ones a module reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch

from pairchain.chain.device import on_tensors
from pairchain.chain.module import Features

MASK = "attention_mask"
# The largest difference between two equal computations; faults differ by more.
ROUNDING = 1e-5


class FeatureMissing(KeyError):
    """A module read a feature that is not there."""


class Watched(dict[str, Any]):
    """Features that record which of them are read, and which missing ones are requested."""

    def __init__(self, features: Mapping[str, Any]) -> None:
        super().__init__(features)
        self.read: set[str] = set()

    def __missing__(self, name: str) -> Any:
        raise FeatureMissing(name)

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        self.read.add(name)
        return super().pop(name, *default)

    def __iter__(self) -> Iterator[str]:
        # iterating may read all of them
        self.read.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:
        self.read.update(super().keys())
        return super().keys()

    def values(self) -> Any:
        self.read.update(super().keys())
        return super().values()

    def items(self) -> Any:
        self.read.update(super().keys())
        return super().items()


def copied(features: Mapping[str, Any]) -> Features:
    """Return a copy of features with copied tensors."""
    return {name: on_tensors(torch.Tensor.clone, value) for name, value in features.items()}


def cast(features: Mapping[str, Any], dtype: torch.dtype) -> Features:
    """Return features with their floating-point tensors in ``dtype``."""
    return {
        name: on_tensors(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor, value)
        for name, value in features.items()
    }


def count_of(features: Mapping[str, Any]) -> int:
    """Return the number of pairs: the most common length of the tensors, or 0 without tensors."""
    lengths = Counter(len(value) for value in features.values() if isinstance(value, torch.Tensor) and value.ndim)
    return lengths.most_common(1)[0][0] if lengths else 0


def rows_of(features: Mapping[str, Any], rows: list[int], count: int) -> Features:
    """Return the features of some of ``count`` pairs, without the positions that are padding in all of them."""
    found = {
        name: value[rows] if isinstance(value, torch.Tensor) and value.ndim and len(value) == count else value
        for name, value in features.items()
    }
    return without_padding(found)


def row_of(features: Mapping[str, Any], row: int, count: int, names: Collection[str]) -> Features:
    """Return the row of one of ``count`` pairs in some features, without its padding."""
    return {name: value for name, value in rows_of(features, [row], count).items() if name in names}


def without_padding(features: Mapping[str, Any]) -> Features:
    """Return features without the positions that are padding for every pair."""
    mask = features.get(MASK)
    if not isinstance(mask, torch.Tensor) or mask.ndim != 2:
        return dict(features)
    kept = (mask != 0).any(dim=0)
    return {name: value[:, kept] if is_of_tokens(name, value, mask) else value for name, value in features.items()}


def padded_before(features: Mapping[str, Any]) -> Features | None:
    """Return features with the padding before the tokens; None if it is there already, or if there is none."""
    mask = features.get(MASK)
    if not isinstance(mask, torch.Tensor) or mask.ndim != 2 or bool((mask[:, -1] != 0).all()):
        return None
    # stable, so that the tokens keep their order
    order = (mask != 0).int().argsort(dim=1, stable=True)

    def moved(value: torch.Tensor) -> torch.Tensor:
        index = order.reshape(*order.shape, *[1] * (value.ndim - 2)).expand(value.shape)
        return value.gather(1, index)

    return {name: moved(value) if is_of_tokens(name, value, mask) else value for name, value in features.items()}


def is_of_tokens(name: str, value: Any, mask: torch.Tensor) -> bool:
    """Return whether a feature has a value for each token; an embedding may have the same length by chance."""
    if not isinstance(value, torch.Tensor) or value.shape[:2] != mask.shape:
        return False
    return value.ndim > 2 or not value.is_floating_point() or "token" in name or name.endswith("mask")


def written_by(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the features that a module added or replaced."""
    return {name for name, value in after.items() if name not in before or before[name] is not value}


def difference(one: Any, other: Any, tolerance: float) -> str | None:
    """Return how two values of a feature differ, or None if they are equal.

    Args:
        one, other: The values.
        tolerance: How far numbers may be apart, as a share of the largest; 0 for not at all.
    """
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
            return f"{type(one).__name__} and {type(other).__name__}"
        # other types have no reliable comparison
        return f"{one!r} and {other!r}" if _is_plain(one) and one != other else None
    if one.shape != other.shape:
        return f"the shapes {tuple(one.shape)} and {tuple(other.shape)}"
    if one.numel() == 0 or torch.equal(one, other):
        return None
    first, second = one.double(), other.double()
    if not torch.equal(first.isfinite(), second.isfinite()):
        return "numbers where the other has NaN or infinity"
    kept = first.isfinite()
    if not kept.any():
        return None
    apart = float((first[kept] - second[kept]).abs().max())
    scale = max(1.0, float(second[kept].abs().max()))
    return f"up to {apart:.3g}, of numbers up to {scale:.3g}" if apart > tolerance * scale else None


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool, tuple, list))
