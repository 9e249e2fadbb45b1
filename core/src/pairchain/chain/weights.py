"""Reads the weights of a module, from safetensors or an allowed pickle, and fills the module with them."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from pairchain.errors import FormatError
from pairchain.files.names import PICKLE_FILE, SAFETENSORS_FILE
from pairchain.files.source import Source
from pairchain.format.incomplete import weights_missing
from pairchain.trust import policies


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
