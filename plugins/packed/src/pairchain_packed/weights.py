"""Fills a packed model with the weights of a checkpoint, and finds them again under the library's names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from pairchain import Source
from pairchain.authoring import read_json_object
from pairchain.errors import FormatError
from pairchain_packed.blocks.embedding import EmbeddingTable
from pairchain_packed.files import INDEX, WEIGHTS
from pairchain_packed.recipe import Place


def fill(model: nn.Module, places: tuple[Place, ...], source: Source, dtype: torch.dtype) -> None:
    """Give each parameter of ``model`` its weights.

    Tables of embeddings that need no change stay in the file, which is mapped into memory. Other weights are copied one
    by one, so that no more than one of them is in memory twice: in a file they begin at any multiple of eight bytes,
    which makes products slower, and their last bits different, than at a multiple of 64.

    Raises:
        FormatError: A file is damaged.
        SourceError: A file cannot be read.
    """
    files = _files(source)
    opened: dict[Path, Any] = {}
    for place in places:
        paths = [files[name] for name in place.in_files]
        try:
            value = _kept(place, paths[0], opened) if _is_table(model, place) else None
            if value is None or value.dtype != dtype:
                value = _copied(place, paths, dtype)
        except (SafetensorError, OSError, KeyError, RuntimeError) as error:
            raise FormatError(f"the weights {place.theirs[0]} cannot be read: {error}", where=str(source)) from error
        put(model, place.ours, value)


def put(model: nn.Module, name: str, value: torch.Tensor) -> None:
    """Let ``value`` be the parameter ``name`` of ``model``."""
    module, _, last = name.rpartition(".")
    setattr(model.get_submodule(module), last, nn.Parameter(value))


def library_names(place: Place, value: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the library's weights that stand side by side in a parameter, as views of it."""
    start = 0
    for name, shape in zip(place.theirs, place.shapes, strict=True):
        yield name, value.narrow(0, start, shape[0])
        start += shape[0]


def _is_table(model: nn.Module, place: Place) -> bool:
    """Return whether the rows of a parameter are only looked up."""
    return len(place.in_files) == 1 and isinstance(model.get_submodule(place.ours.rpartition(".")[0]), EmbeddingTable)


def _kept(place: Place, path: Path, opened: dict[Path, Any]) -> torch.Tensor:
    """Return weights that stay in the file; one mapping serves all of a file's."""
    if path not in opened:
        opened[path] = safe_open(str(path), framework="pt")
    tensor: torch.Tensor = opened[path].get_tensor(place.in_files[0])
    return tensor


def _copied(place: Place, paths: list[Path], dtype: torch.dtype) -> torch.Tensor:
    value = torch.empty((sum(shape[0] for shape in place.shapes), *place.shapes[0][1:]), dtype=dtype)
    for (_, part), path, name in zip(library_names(place, value), paths, place.in_files, strict=True):
        # a mapping of its own, which ends here, so that pages that were copied do not stay in memory
        with safe_open(str(path), framework="pt") as file:
            part.copy_(file.get_tensor(name))
    return value


def _files(source: Source) -> dict[str, Path]:
    """Return the file of each weight."""
    if (single := source.file(WEIGHTS)) is not None:
        with safe_open(str(single), framework="pt") as file:
            return dict.fromkeys(file.keys(), single)
    index = read_json_object(source.require(INDEX), shown_as=f"{INDEX} of {source.name}")["weight_map"]
    paths = {name: source.require(name, because=f"{INDEX} names it.") for name in sorted(set(index.values()))}
    return {weight: paths[name] for weight, name in index.items()}
