"""A limit to the memory that building a module takes, by the size of the weights that will fill it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pairchain.errors import FormatError
from pairchain.text.units import bytes_in_words

# Weights may be kept in an eighth of the bytes that they take in memory, and a module may have more than its weights.
_TIMES = 8
_BESIDES = 2**28


def most_bytes(weights: int) -> int:
    """Return how much memory a model may take whose weights are that many bytes."""
    return _TIMES * weights + _BESIDES


class _Limit(TorchDispatchMode):
    """Counts the tensors that are made from a shape, before they are."""

    def __init__(self, most: int, shown_as: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left = self._most = most
        self._shown = shown_as

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        shape = args[0] if args else keywords.get("size")
        if isinstance(shape, list | tuple) and all(isinstance(length, int) for length in shape):
            dtype = keywords.get("dtype") or torch.get_default_dtype()
            self._left -= math.prod(shape) * dtype.itemsize
            if self._left < 0:
                raise FormatError(
                    f"{self._shown} asks for a tensor of the shape {_short(shape)}; the weights beside it are so small "
                    f"that the module should take {bytes_in_words(self._most)} at most.",
                    next_step="the configuration and the weights come from different models; fetch both again.",
                )
        return func(*args, **keywords)


def _short(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape[:8]))}{', …' if len(shape) > 8 else ''})"


@contextmanager
def allocating_for(weights: Path | None, *, shown_as: str) -> Iterator[None]:
    """Refuse, inside the block, to make tensors that take far more memory than the weights that fill them.

    Args:
        weights: The file of the weights; None if there is none.
        shown_as: What asks for the tensors, for the error.

    Raises:
        FormatError: A tensor would be too large.
    """
    with _Limit(most_bytes(weights.stat().st_size if weights is not None else 0), shown_as):
        yield
