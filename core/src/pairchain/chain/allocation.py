"""Limits the memory that building a module takes, by the size of its weights file."""

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

# A file may hold weights in an eighth of the bytes that they take in memory, and a module may hold further tensors.
_TIMES = 8
_BESIDES = 2**28


def most_bytes(weights: int) -> int:
    """Return the memory that a model may take, for weights of this many bytes."""
    return _TIMES * weights + _BESIDES


class _Limit(TorchDispatchMode):
    """Counts the bytes of tensors from their shapes, before they are allocated."""

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
                    f"{self._shown} asks for a tensor of shape {tuple(shape[:8])}; going by its weights file, the "
                    f"module should take {bytes_in_words(self._most)} at most.",
                    next_step="the configuration and the weights come from different models; fetch both again.",
                )
        return func(*args, **keywords)


@contextmanager
def allocating_for(weights: Path | None, *, shown_as: str) -> Iterator[None]:
    """Refuse to allocate far more memory in the block than the weights file takes; ``shown_as`` is named in errors."""
    with _Limit(most_bytes(weights.stat().st_size if weights is not None else 0), shown_as):
        yield
