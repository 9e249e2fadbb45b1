"""Where a chain computes, and in which precision."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pairchain.errors import InputError, PairchainWarning, nearest


class Float32Linear(nn.Linear):
    """An `nn.Linear` that computes in float32 or wider and returns it, whatever the dtype of its weights and input."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the layer's output, never in half precision."""
        wide = torch.promote_types(torch.promote_types(input.dtype, self.weight.dtype), torch.float32)
        bias = None if self.bias is None else self.bias.to(wide)
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.to(wide), self.weight.to(wide), bias)


def default_device() -> torch.device:
    """Return the first accelerator of this machine (``LOCAL_RANK`` chooses among CUDA devices), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    for kind in ("mps", "npu", "xpu", "hpu"):
        backend = getattr(torch, kind, None)
        if backend is not None and backend.is_available():
            return torch.device(kind)
    return torch.device("cpu")


def place(chain: nn.Sequential, device: str | torch.device | None, *, has_device_map: bool) -> None:
    """Give every module the dtype of the first one's first parameter, and move the chain to ``device``.

    Args:
        chain: The modules.
        device: Where to; None for `default_device`.
        has_device_map: Whether the first module was spread over devices when it was loaded, and stays there.
    """
    first = next(chain[0].parameters(), None)
    followers = list(chain)[1:]
    # a quantised model's first parameter may hold integers, which no other module computes in
    if first is not None and first.is_floating_point():
        for module in followers:
            module.to(dtype=first.dtype)
    if not has_device_map:
        chain.to(default_device() if device is None else device)
        return
    if device is not None:
        warnings.warn(
            f"device_map decides the placement; device={device!r} is not used.", PairchainWarning, stacklevel=4
        )
    if first is not None:
        for module in followers:
            module.to(first.device)


def keep_in_float32(chain: nn.Module, paths: Sequence[str]) -> tuple[str, ...]:
    """Make the linear layers at ``paths`` compute in float32, and return the paths without repetitions.

    Args:
        chain: The model.
        paths: Names as `named_modules` gives them, such as ``"2.linear"``.

    Raises:
        InputError: A path names no layer, or one that is not a plain `nn.Linear`.
    """
    layers = dict(chain.named_modules())
    kept = tuple(dict.fromkeys(paths))
    for path in kept:
        if type(layers.get(path)) not in (nn.Linear, Float32Linear):
            found = f"is a {type(layers[path]).__name__}" if path in layers else "is no layer of this chain"
            linear = [name for name, layer in layers.items() if type(layer) in (nn.Linear, Float32Linear)]
            raise InputError(f"keep_in_fp32_modules: {path!r} {found}, not a torch.nn.Linear{nearest(path, linear)}.")
    for path in kept:
        layers[path].__class__ = Float32Linear
    return kept


def to_device(features: Any, device: torch.device) -> Any:
    """Return ``features`` with every tensor in it on ``device``."""
    if isinstance(features, torch.Tensor):
        return features.to(device, non_blocking=True)
    if isinstance(features, Mapping):
        return {key: to_device(value, device) for key, value in features.items()}
    if isinstance(features, (list, tuple)):
        moved = [to_device(value, device) for value in features]
        return type(features)(*moved) if hasattr(features, "_fields") else type(features)(moved)
    return features
