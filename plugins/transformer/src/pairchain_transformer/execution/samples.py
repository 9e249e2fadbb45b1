"""Whether the values of tensors are the same, where nobody counts the writes to them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

# Of a tensor with fewer elements, all are looked at.
_MOST_ELEMENTS = 2**16


class Sample:
    """Values of tensors at one time: all of the small ones, and of each larger one some in every row and column.

    Args:
        tensors: The tensors. They have to be dense, and somewhere: not on the device ``meta``.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._groups: dict[tuple[torch.device, torch.dtype], list[torch.Tensor]] = {}
        for tensor in tensors:
            self._groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
        self._values = self._taken()

    @property
    def is_current(self) -> bool:
        """Whether the tensors have those values still."""
        return all(map(torch.equal, self._values, self._taken()))

    def _taken(self) -> list[torch.Tensor]:
        # bytes, for a NaN is not equal to itself
        return [torch.cat([_some(tensor) for tensor in group]).view(torch.uint8) for group in self._groups.values()]


def _some(tensor: torch.Tensor) -> torch.Tensor:
    """Return elements of a tensor, shape (elements,)."""
    flat = tensor.detach().reshape(-1)
    if len(flat) <= _MOST_ELEMENTS or tensor.ndim < 2:
        return flat
    return flat[:: _step(len(flat) // tensor.shape[-1], tensor.shape[-1])]


def _step(rows: int, columns: int) -> int:
    """Return how far apart elements are of which every row and every column has one."""
    # shorter than a row, so that none is skipped, and with no factor in common with it, so that no column is
    return next(step for step in range(max(1, min(rows, columns) - 1), 0, -1) if math.gcd(step, columns) == 1)
