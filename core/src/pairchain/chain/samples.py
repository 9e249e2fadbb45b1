"""Tells whether tensors have changed, even by writes that PyTorch does not count."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

# All elements of smaller tensors are compared.
_MOST_ELEMENTS = 2**16

# An integer of the size of an element, in bytes.
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Sample:
    """The values of tensors at one moment: all of small tensors, and some of each row and column of large ones.

    Args:
        tensors: Dense tensors, not on the device ``meta``.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        # kept as they are, so that no other tensor has their places in memory
        self._tensors = [tensor.detach() for tensor in tensors]
        self._parts = [_some(tensor) for tensor in self._tensors]
        self._values = [values.clone() for values in self._read()]

    def matches(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Return whether these are the same tensors, in the same places in memory, and still have these values."""
        return (
            len(tensors) == len(self._tensors)
            and all(map(_is_same, tensors, self._tensors))
            and all(map(torch.equal, self._values, self._read()))
        )

    def _read(self) -> list[torch.Tensor]:
        """Return the values of all parts, those of one device and dtype together."""
        groups: dict[tuple[torch.device, torch.dtype], list[torch.Tensor]] = {}
        for tensor, part in zip(self._tensors, self._parts, strict=True):
            # a part of a tensor in another order of memory is a copy
            now = part if tensor.is_contiguous() else _some(tensor)
            groups.setdefault((now.device, now.dtype), []).append(now)
        return [torch.cat(group) if len(group) > 1 else group[0] for group in groups.values()]


def _is_same(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    return (
        tensor.data_ptr() == other.data_ptr()
        and tensor.shape == other.shape
        and tensor.stride() == other.stride()
        and tensor.dtype is other.dtype
        and tensor.device == other.device
    )


def _some(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bits of some or all elements of a tensor, as integers of shape (elements,)."""
    flat = tensor.reshape(-1)
    # as integers, because a NaN is not equal to itself
    flat = flat.view(_INTEGERS.get(flat.itemsize, flat.dtype))
    if len(flat) <= _MOST_ELEMENTS or tensor.ndim < 2:
        return flat
    return flat[:: _step(len(flat) // tensor.shape[-1], tensor.shape[-1])]


def _step(rows: int, columns: int) -> int:
    """Return a stride that reaches every row and every column."""
    # a stride shorter than a row skips no row, and one coprime with the row's length skips no column
    return next(step for step in range(max(1, min(rows, columns) - 1), 0, -1) if math.gcd(step, columns) == 1)
