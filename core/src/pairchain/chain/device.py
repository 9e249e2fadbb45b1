"""The devices and dtypes that a chain computes with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pairchain.chain.inside import modules_inside, parameters_inside, tensors_inside
from pairchain.errors import InputError, warn
from pairchain.text.escaping import short_repr
from pairchain.text.nearest import nearest

_ACCELERATORS = ("cuda", "mps", "npu", "xpu", "hpu")


class Float32Linear(nn.Linear):
    """An `nn.Linear` that computes and returns float32 or wider, whatever the dtype of its weights and input."""

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
    for kind in _ACCELERATORS[1:]:
        backend = getattr(torch, kind, None)
        if backend is not None and backend.is_available():
            return torch.device(kind)
    return torch.device("cpu")


def checked_device(device: Any) -> torch.device:
    """Return ``device`` as a `torch.device`.

    Raises:
        InputError: This machine does not have it; the error lists those that it has.
    """
    try:
        found = torch.device(device)
        is_here = _is_here(found)
    except (RuntimeError, TypeError):
        is_here = False
    if is_here:
        return found
    counts = {kind: module.device_count() for kind in _ACCELERATORS if (module := getattr(torch, kind, None))}
    here = ["cpu", *(f"{kind}:{index}" for kind, count in counts.items() for index in range(count))]
    no_build = "" if torch.version.cuda or torch.version.hip else "; to use a GPU, install a build of torch for it"
    raise InputError(
        f"device is {short_repr(str(device) if isinstance(device, torch.device) else device)}, which this machine does "
        "not have.",
        next_step=f"choose from {', '.join(here)}, or name none to use the first accelerator{no_build}.",
        argument="device",
    )


def _is_here(device: torch.device) -> bool:
    if device.type in ("cpu", "meta"):
        return True
    module = getattr(torch, device.type, None)
    if module is not None and hasattr(module, "device_count"):
        return (device.index or 0) < int(module.device_count())
    try:
        torch.empty(0, device=device)
    except Exception:  # as each library likes
        return False
    return True


def place(chain: nn.Sequential, device: str | torch.device | None, *, has_device_map: bool) -> None:
    """Give every module the dtype of the chain's first parameter, and move the chain to ``device``.

    Modules that a ``device_map`` placed at load time stay, and the modules after them move to their device.
    If ``has_device_map``, the first module was placed by one, even if none of its attributes shows it.
    """
    first = next(parameters_inside(chain[0]), None)
    # the first parameter of a quantised model may hold integers, which other modules cannot compute with
    if first is not None and first.is_floating_point():
        for module in list(chain)[1:]:
            module.to(dtype=first.dtype)
    placed = {
        module for module in modules_inside(chain) if is_dispatched(module) or getattr(module, "has_device_map", False)
    }
    if has_device_map and not placed:
        placed = {chain[0]}
    if placed and device is not None:
        warn(f"device_map decides the placement; device={device!r} is not used.")
    settle(chain, checked_device(default_device() if device is None or placed else device), placed)


def is_dispatched(module: nn.Module) -> bool:
    """Return whether accelerate spread the module over several devices or the disk, where it must stay."""
    places = set((getattr(module, "hf_device_map", None) or {}).values())
    return len(places) > 1 or "disk" in places


def device_of(module: nn.Module) -> torch.device | None:
    """Return the device of the module's first tensor, where its inputs belong; None without tensors."""
    somewhere = None
    for tensor in tensors_inside(module):
        if tensor.device.type != "meta":  # accelerate keeps such tensors elsewhere until they are needed
            return tensor.device
        somewhere = somewhere or tensor.device
    return None if any(map(is_dispatched, modules_inside(module))) else somewhere


def settle(module: nn.Module, device: torch.device, staying: Set[nn.Module]) -> None:
    """Move ``module`` to ``device`` except for the modules ``staying``; modules after those move to their device."""
    if module in staying:
        return
    if staying.isdisjoint(modules_inside(module)):
        module.to(device)
        return
    module._apply(lambda tensor: tensor.to(device), recurse=False)
    for child in module.children():
        settle(child, device, staying)
        if isinstance(module, nn.Sequential) and not staying.isdisjoint(modules_inside(child)):
            device = device_of(child) or device


def keep_in_float32(chain: nn.Module, paths: Sequence[str]) -> tuple[str, ...]:
    """Make the linear layers at ``paths``, such as ``"2.linear"``, compute in float32; return the distinct paths."""
    kept = tuple(dict.fromkeys(paths))
    layers = dict(chain.named_modules()) if kept else {}
    for path in kept:
        if type(layers.get(path)) not in (nn.Linear, Float32Linear):
            is_other = f"is a {type(layers[path]).__name__}, not a torch.nn.Linear" if path in layers else ""
            linear = [name for name, layer in layers.items() if type(layer) in (nn.Linear, Float32Linear)]
            raise InputError(
                f"keep_in_fp32_modules: {path!r} {is_other or 'is not a layer of this chain'}{nearest(path, linear)}."
            )
    for path in kept:
        layers[path].__class__ = Float32Linear
    return kept


def brought_to(features: dict[str, Any], device: torch.device | None) -> dict[str, Any]:
    """Return ``features`` on ``device`` unless one of their tensors is there already; None stands for any device."""
    devices = {value.device for value in features.values() if isinstance(value, torch.Tensor)}
    # the others may be elsewhere on purpose, such as lengths on the CPU
    if device is None or not devices or device in devices:
        return features
    return {key: to_device(value, device) for key, value in features.items()}


def to_device(features: Any, device: torch.device) -> Any:
    return on_tensors(lambda tensor: tensor.to(device, non_blocking=True), features)


def on_tensors(function: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """Return ``value`` with ``function`` applied to every tensor in it, at any depth of dicts, lists and tuples."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: on_tensors(function, inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        made = [on_tensors(function, inner) for inner in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    return value
