"""Compares the sizes in a configuration with those of the weights before the library allocates memory."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import PreTrainedModel

from pairchain import Source
from pairchain.authoring import bytes_in_words, most_bytes
from pairchain_transformer.checkpoint import faults
from pairchain_transformer.libraries.stand_ins import StandIns

_MOST_SHOWN = 4

_Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Load:
    """A load; with ``fits_all``, random weights may replace those that do not fit."""

    source: Source
    fits_all: bool


_current: ContextVar[_Load | None] = ContextVar("pairchain_transformer_shapes", default=None)


@contextmanager
def comparing_shapes(source: Source, given: Mapping[str, Any]) -> Iterator[None]:
    """Inside the block, compare each model that the library has built without memory with its files.

    Args:
        source: The model.
        given: The caller's ``model_kwargs``.
    """
    token = _current.set(_Load(source, bool(given.get("ignore_mismatched_sizes"))))
    try:
        with _STAND_IN.in_place():
            yield
    finally:
        _current.reset(token)


def _stand_in(original: Any) -> Any:
    function = original.__func__
    signature = inspect.signature(function)

    def _load_pretrained_model(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        load, files = _current.get(), given.get("checkpoint_files")
        # the library passes an adapter's tensors as a state dict, or under names that the adapted model lacks
        of_adapter = given.get("expected_keys") is not None
        if load is not None and given.get("state_dict") is None and files and not of_adapter:
            _compare(given["model"], files, load, is_quantized=bool(given["load_config"].is_quantized))
        return function(*args, **kwargs)

    return _load_pretrained_model


_STAND_IN = StandIns((PreTrainedModel, "_load_pretrained_model", _stand_in))


def _compare(model: Any, files: Sequence[str], load: _Load, *, is_quantized: bool) -> None:
    """Raise a FormatError if the model's sizes differ from its weights', or if it needs far more memory than they."""
    saved = _saved_shapes(files)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    unfit = [] if is_quantized else _unfit(saved, wanted, model.base_model_prefix)
    if unfit and not load.fits_all:
        shown = ", ".join(f"{name} is {before}, not {now}" for name, before, now in unfit[:_MOST_SHOWN])
        more = f" and {len(unfit) - _MOST_SHOWN} more" if len(unfit) > _MOST_SHOWN else ""
        raise faults.other_sizes(load.source, f"{shown}{more}")
    held, needed = sum(Path(file).stat().st_size for file in files), _bytes(model)
    if needed > most_bytes(held):
        largest = sorted(wanted.items(), key=lambda item: prod(item[1]), reverse=True)[:_MOST_SHOWN]
        shown = ", ".join(f"{name} {shape}" for name, shape in largest)
        raise faults.other_model(
            f"the configuration asks for {bytes_in_words(needed)}, and the weights are {bytes_in_words(held)}. The "
            f"largest tensors that it asks for: {shown}.",
            str(load.source),
        )


def _saved_shapes(files: Sequence[str]) -> dict[str, _Shape]:
    """Return the shapes in the headers of ``files``; pickles have no header."""
    found: dict[str, _Shape] = {}
    for path in files:
        if path.endswith(".safetensors"):
            with safe_open(path, framework="pt") as file:
                found.update({name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118
    return found


def _unfit(saved: Mapping[str, _Shape], wanted: Mapping[str, _Shape], prefix: str) -> list[tuple[str, _Shape, _Shape]]:
    """Return the tensors whose number of elements differs from the file's; names there may have or lack ``prefix``."""
    found = []
    for name, now in wanted.items():
        others = (name, f"{prefix}.{name}", name.removeprefix(f"{prefix}."))
        before = next((saved[other] for other in others if other in saved), now)
        # the library transposes some tensors as it reads them, and adds a dimension to a few
        if prod(before) != prod(now):
            found.append((name, before, now))
    return found


def _bytes(model: Any) -> int:
    """Return how much memory the model's tensors will take; tied tensors take none."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    tensors = dict((*model.named_parameters(), *model.named_buffers()))
    return sum(tensor.numel() * tensor.dtype.itemsize for name, tensor in tensors.items() if name not in tied)
