"""Tells whether tensors have changed, even by writes that PyTorch does not count."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

# All elements of smaller tensors are compared.
_MOST_ELEMENTS = 2**16


class Sample:
    """The values of tensors at one moment: all of small tensors, and some of each row and column of large ones.

    Args:
        tensors: Dense tensors, not on the device ``meta``.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._groups: dict[tuple[torch.device, torch.dtype], list[torch.Tensor]] = {}
        for tensor in tensors:
            self._groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
        self._values = self._taken()

    @property
    def is_current(self) -> bool:
        """Whether the tensors still have these values."""
        return all(map(torch.equal, self._values, self._taken()))

    def _taken(self) -> list[torch.Tensor]:
        # bytes, because a NaN is not equal to itself
        return [torch.cat([_some(tensor) for tensor in group]).view(torch.uint8) for group in self._groups.values()]


def _some(tensor: torch.Tensor) -> torch.Tensor:
    """Return some or all elements of a tensor, shape (elements,)."""
    flat = tensor.detach().reshape(-1)
    if len(flat) <= _MOST_ELEMENTS or tensor.ndim < 2:
        return flat
    return flat[:: _step(len(flat) // tensor.shape[-1], tensor.shape[-1])]


def _step(rows: int, columns: int) -> int:
    """Return a stride that reaches every row and every column."""
    # a stride shorter than a row skips no row, and one coprime with the row's length skips no column
    return next(step for step in range(max(1, min(rows, columns) - 1), 0, -1) if math.gcd(step, columns) == 1)
