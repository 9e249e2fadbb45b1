"""Walks through the modules of a chain as they are.

`torch.nn.Module.modules` and ``parameters`` are the user's: a module that holds another form of its weights may first
make the usual one for them, such as a `Transformer` that runs without the transformers library. Pairchain itself only
looks, so it must not cause that.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn


def modules_inside(module: nn.Module) -> Iterator[nn.Module]:
    """Yield ``module`` and all modules inside, each once, in the order of `torch.nn.Module.modules`."""
    yield from _walk(module, set())


def _walk(module: nn.Module, seen: set[nn.Module]) -> Iterator[nn.Module]:
    if module not in seen:
        seen.add(module)
        yield module
        for child in module._modules.values():
            if child is not None:
                yield from _walk(child, seen)


def parameters_inside(module: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters in ``module``, each once."""
    seen: set[nn.Parameter] = set()
    for part in modules_inside(module):
        for parameter in part._parameters.values():
            if parameter is not None and parameter not in seen:
                seen.add(parameter)
                yield parameter


def tensors_inside(module: nn.Module) -> Iterator[torch.Tensor]:
    """Yield the parameters in ``module``, then its buffers."""
    yield from parameters_inside(module)
    for part in modules_inside(module):
        yield from (buffer for buffer in part._buffers.values() if buffer is not None)
