"""Compares the sizes in a configuration with those of the weights before the library allocates memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import safe_open

from pairchain import Source
from pairchain.authoring import bytes_in_words, most_bytes
from pairchain_transformer.checkpoint import faults
from pairchain_transformer.libraries.replacements import Replacements

_Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Load:
    """A load; with ``fits_all``, random weights may replace those that do not fit."""

    source: Source
    fits_all: bool


def comparing_shapes(source: Source, given: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Return a block in which each model that the library has built without memory is compared with its files."""
    return _REPLACEMENTS.during(_Load(source, bool(given.get("ignore_mismatched_sizes"))))


def _load_weights(load: _Load, load_weights: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    given = inspect.signature(load_weights).bind(*args, **kwargs).arguments
    # the library passes an adapter's tensors as a state dict, or under names that the adapted model lacks
    is_of_adapter = given.get("state_dict") is not None or given.get("expected_keys") is not None
    if (files := given.get("checkpoint_files")) and not is_of_adapter:
        _compare(given["model"], files, load, is_quantized=bool(given["load_config"].is_quantized))
    return load_weights(*args, **kwargs)


_REPLACEMENTS: Replacements[_Load] = Replacements(
    {("transformers.modeling_utils", "PreTrainedModel", "_load_pretrained_model"): _load_weights}
)


def _compare(model: Any, files: Sequence[str], load: _Load, *, is_quantized: bool) -> None:
    """Raise a FormatError if the model's sizes differ from its weights', or if it needs far more memory than they."""
    saved = _saved_shapes(files)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    unfit = [] if is_quantized else _unfit(saved, wanted, model.base_model_prefix)
    if unfit and not load.fits_all:
        raise faults.other_sizes(load.source, unfit)
    held, needed = sum(Path(file).stat().st_size for file in files), _bytes(model)
    if needed > most_bytes(held):
        largest = sorted(wanted.items(), key=lambda item: prod(item[1]), reverse=True)[:4]
        raise faults.other_model(
            f"the configuration asks for {bytes_in_words(needed)}, and the weights are {bytes_in_words(held)}. The "
            f"largest tensors that it asks for: {', '.join(f'{name} {shape}' for name, shape in largest)}.",
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
