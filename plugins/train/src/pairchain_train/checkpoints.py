"""Checkpoints of a training: the weights that it changes, and which checkpoint is complete."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from pairchain.authoring import modules_inside
from pairchain.errors import FormatError

WEIGHTS = "training_weights.safetensors"
# written last, and only by this package
_COMPLETE = "training_complete"
_NAME = re.compile(r"checkpoint-(\d+)")


def save_weights(chain: nn.Module, folder: Path) -> None:
    """Write the parameters that are trained, and the buffers, to ``folder``."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in _changing(chain).items()}
    safetensors.torch.save_file(tensors, folder / WEIGHTS)


def load_weights(chain: nn.Module, folder: Path) -> None:
    """Copy what `save_weights` wrote into the chain.

    Raises:
        FormatError: ``folder`` is no checkpoint of this package, or one of another model or of other frozen parts.
    """
    if not (folder / WEIGHTS).is_file():
        raise FormatError(f"{folder} has no {WEIGHTS}.", next_step="name a checkpoint that PairTrainer wrote.")
    saved, own = safetensors.torch.load_file(folder / WEIGHTS), _changing(chain)
    if unfit := sorted(name for name in saved.keys() | own.keys() if _shape(saved, name) != _shape(own, name)):
        raise FormatError(
            f"the checkpoint {folder} does not fit the model: {unfit[0]} and {len(unfit) - 1} more tensors differ.",
            next_step="train the same model with the same parts frozen and the same adapters.",
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(saved[name])


def mark_complete(folder: Path) -> None:
    """Note that everything of a checkpoint is written; do nothing if it is gone."""
    if folder.is_dir():
        (folder / _COMPLETE).touch()


def last_complete(folder: str | os.PathLike[str]) -> str | None:
    """Return the newest checkpoint in ``folder`` that was written to its end; None if there is none."""
    places = Path(folder).iterdir() if Path(folder).is_dir() else ()
    found = {int(name[1]): place for place in places if (name := _NAME.fullmatch(place.name))}
    complete = [step for step, place in found.items() if (place / _COMPLETE).is_file()]
    return str(found[max(complete)]) if complete else None


@contextmanager
def keeping_configuration(chain: nn.Module) -> Iterator[None]:
    """Inside the block, let the Trainer set ``use_cache``, which a saved model keeps, and set it back afterwards."""
    configs = {id(config): config for one in modules_inside(chain) if (config := getattr(one, "config", None))}
    before = [(config, vars(config).get("use_cache")) for config in configs.values() if hasattr(config, "__dict__")]
    absent = {id(config) for config, _ in before if "use_cache" not in vars(config)}
    try:
        yield
    finally:
        for config, value in before:
            if id(config) in absent:
                vars(config).pop("use_cache", None)
            else:
                vars(config)["use_cache"] = value


def _changing(chain: nn.Module) -> dict[str, torch.Tensor]:
    """Return the trained parameters and the buffers that are part of the state, by name."""
    state: dict[str, Any] = chain.state_dict()
    buffers = {name: buffer for name, buffer in chain.named_buffers() if name in state}
    return {**{name: one for name, one in chain.named_parameters() if one.requires_grad}, **buffers}


def _shape(tensors: dict[str, torch.Tensor], name: str) -> torch.Size | None:
    return tensors[name].shape if name in tensors else None
