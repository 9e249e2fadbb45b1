"""Weights of one module: safetensors, or a pickle where that is allowed, checked against what they go into."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from pairchain.errors import FormatError
from pairchain.files.source import Source
from pairchain.format.headers import SAFETENSORS_FILE
from pairchain.format.incomplete import weights_missing
from pairchain.trust import policies
from pairchain.trust.pickles import PICKLE_FILE, refuse_pickle


def read_weights(source: Source) -> dict[str, torch.Tensor]:
    """Return the state dict of the module saved in ``source``, on the CPU.

    Raises:
        MissingFileError: There are no weights.
        PickleRefusedError: They are a pickle, and the load in progress does not allow one.
        FormatError: The file is damaged.
    """
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
    refuse_pickle(source, PICKLE_FILE)
    return read_pickle(source.require(PICKLE_FILE))


def weights_file(source: Source) -> Path | None:
    """Return the local copy of the file that `read_weights` reads, or None if it reads none."""
    if (path := source.file(SAFETENSORS_FILE)) is not None:
        return path
    return source.file(PICKLE_FILE) if policies.current_policy().allow_pickle else None


def read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a pickled state dict, read through torch's restricted loader, on the CPU.

    Raises:
        FormatError: It holds anything but tensors and plain values, or is damaged.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no common base for what a bad pickle can raise
        # torch's text begins with how to switch the protection off; the fault is in its last paragraph but one
        paragraphs = str(error).split("\n\n")
        reason = paragraphs[-2 if len(paragraphs) > 1 else 0].strip()
        raise FormatError(
            f"{path.name} was refused by torch's restricted loader: {reason}",
            where=str(path),
            next_step="do not load it any other way unless you know what it would run.",
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise FormatError(f"{path.name} holds no state dict.", where=str(path))
    return weights


def fill(model: nn.Module, weights: dict[str, torch.Tensor], source: Source) -> None:
    """Put ``weights`` into ``model``.

    Raises:
        FormatError: A tensor is missing, is unexpected, or has another shape.
    """
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        reasons = " ".join(line.strip() for line in str(error).splitlines()[1:])
        raise FormatError(f"the weights do not fit {type(model).__name__}: {reasons}", where=str(source)) from error
    state = model.state_dict()
    # safetensors writes a tensor that two names share only once
    filled = {state[name].data_ptr() for name in weights if name in state}
    missing = [name for name in missing if state[name].data_ptr() not in filled]
    if missing or unexpected:
        found = [f"missing {', '.join(sorted(missing))}"] if missing else []
        found += [f"unexpected {', '.join(sorted(unexpected))}"] if unexpected else []
        raise FormatError(
            f"the weights do not fit {type(model).__name__}: {'; '.join(found)}.",
            where=str(source),
            next_step="the configuration and the weights come from different models; fetch both again.",
        )
