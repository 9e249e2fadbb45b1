"""Reads the weights of a module, fills the module with them, and limits the memory that it takes by their size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pairchain.errors import FormatError
from pairchain.files.names import PICKLE_FILE, SAFETENSORS_FILE
from pairchain.files.source import Source
from pairchain.format.incomplete import weights_missing
from pairchain.text.units import bytes_in_words
from pairchain.trust import policies

# A file may hold weights in an eighth of the bytes that they take in memory, and a module may hold further tensors.
_TIMES = 8
_BESIDES = 2**28


def read_weights(source: Source) -> dict[str, torch.Tensor]:
    """Return the state dict of the module saved in ``source``, on the CPU; see `Module.load_torch_weights`."""
    if (path := source.file(SAFETENSORS_FILE)) is not None:
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise FormatError(
                f"{source.path_of(SAFETENSORS_FILE)} of {source.name} is not a readable safetensors file: {error}",
                where=str(path),
                next_step="fetch the model again.",
            ) from error
    if not source.has(PICKLE_FILE):
        raise weights_missing(source, SAFETENSORS_FILE, PICKLE_FILE)
    policies.refuse_pickle(source, PICKLE_FILE)
    return read_pickle(source.require(PICKLE_FILE))


def weights_file(source: Source) -> Path | None:
    """Return the local copy of the file that `read_weights` reads, or None if it would raise an error."""
    if (path := source.file(SAFETENSORS_FILE)) is not None:
        return path
    return source.file(PICKLE_FILE) if policies.current_policy().allow_pickle else None


def read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a pickled state dict, read through torch's restricted loader, on the CPU."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the errors of a bad pickle have no common base
        # torch's message begins with advice to switch the protection off; the reason is in the last paragraph but one
        paragraphs = str(error).split("\n\n")
        reason = paragraphs[-2 if len(paragraphs) > 1 else 0].strip()
        raise FormatError(
            f"{path.name} was refused by torch's restricted loader: {reason}",
            where=str(path),
            next_step="do not load it in another way unless you know what it would run.",
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise FormatError(f"{path.name} does not hold a state dict.", where=str(path))
    return weights


def fill(model: nn.Module, weights: dict[str, torch.Tensor], source: Source) -> None:
    """Fill ``model`` with ``weights``; refuse tensors that are missing, unexpected or of another shape."""
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        reasons = " ".join(line.strip() for line in str(error).splitlines()[1:])
        raise FormatError(f"the weights do not fit {type(model).__name__}: {reasons}", where=str(source)) from error
    state = model.state_dict()
    # safetensors stores a tensor with two names only once
    filled = {state[name].data_ptr() for name in weights if name in state}
    missing = [name for name in missing if state[name].data_ptr() not in filled]
    if missing or unexpected:
        named = {"missing": missing, "unexpected": unexpected}
        found = [f"{problem} {', '.join(sorted(names))}" for problem, names in named.items() if names]
        raise FormatError(
            f"the weights do not fit {type(model).__name__}: {'; '.join(found)}.",
            where=str(source),
            next_step="the configuration and the weights come from different models; fetch both again.",
        )


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
