"""Rotary position embedding (Su et al., 2021)."""

from __future__ import annotations

import math

import torch

from pairchain_packed import architecture


def frequencies(plan: architecture.Rotary, size: int) -> torch.Tensor:
    """Return the angle by which one position turns each pair of elements, float32 of shape (size / 2,)."""
    angles = 1.0 / plan.base ** (torch.arange(0, size, 2, dtype=torch.float32) / size)
    if plan.factor == 1.0:
        return angles
    if plan.bands is None:
        return angles / plan.factor
    low, high, context = plan.bands
    wavelengths = 2 * math.pi / angles
    share = ((context / wavelengths - low) / (high - low)).clamp(0, 1)
    return (1 - share) * angles / plan.factor + share * angles


class Turn:
    """Turns queries and keys by their positions.

    Args:
        plan: The wavelengths.
        size: The size of a query.
        positions: The position of each token, shape (tokens,).
        dtype: The dtype of queries.
    """

    def __init__(self, plan: architecture.Rotary, size: int, positions: torch.Tensor, dtype: torch.dtype) -> None:
        angles = torch.outer(positions.float(), frequencies(plan, size).to(positions.device))
        angles = torch.cat([angles, angles], dim=-1).unsqueeze(1)
        self._cosines, self._sines = angles.cos().to(dtype), angles.sin().to(dtype)

    def __call__(self, heads: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``heads``, of shape (tokens, heads, size), turned; ``places`` are the indices of these tokens."""
        cosines, sines = self._cosines, self._sines
        if places is not None:
            cosines, sines = cosines[places], sines[places]
        one, other = heads.chunk(2, dim=-1)
        return heads * cosines + torch.cat([-other, one], dim=-1) * sines
