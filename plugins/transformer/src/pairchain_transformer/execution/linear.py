"""Computes linear layers on a CPU with oneDNN instead of PyTorch's BLAS, where oneDNN is faster.

Which is faster depends on the processor: on some, BLAS is little more than half as fast as oneDNN for a batch of a few
hundred tokens. The weights are neither moved nor converted.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from pairchain.authoring import note, step

# With fewer tokens neither is faster, and oneDNN prepares code for every new number of tokens.
_LEAST_TOKENS = 64

# For each shape, oneDNN keeps 0.6 MB until the process ends, so PyTorch computes all further shapes.
_MOST_SHAPES = 128
_prepared: set[tuple[int, ...]] = set()

_measuring = threading.Lock()


@contextmanager
def by_onednn(wanted: bool | None, model: nn.Module, features: Mapping[str, Any]) -> Iterator[None]:
    """Inside the block, compute linear layers with oneDNN if ``wanted``, or, if that is None, where it is faster."""
    if wanted is None:
        weight, ids = next(model.parameters(), None), features.get("input_ids")
        is_on_cpu = weight is not None and weight.device.type == "cpu" and weight.dtype is torch.float32
        is_small = isinstance(ids, torch.Tensor) and ids.numel() < _LEAST_TOKENS
        wanted = is_on_cpu and not is_small and _is_faster()
    if not wanted or not is_available():
        yield
        return
    note("linear layers by oneDNN")
    with _ByOneDNN():
        yield


def _is_faster() -> bool:
    """Return whether oneDNN is faster, measured once per process so that equal calls give equal results."""
    with _measuring:
        return _measured()


@cache
def _measured() -> bool:
    return is_available() and _gain() > 1


def is_available() -> bool:
    """Return whether PyTorch was built with oneDNN and has an operator for its linear layer."""
    found = torch.backends.mkldnn
    return bool(found.is_available() and found.enabled) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class _ByOneDNN(TorchFunctionMode):
    """Sends linear layers to oneDNN if it takes their tensors; PyTorch computes the others."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and _suits(*args):
            return _linear(*args)
        return func(*args, **(kwargs or {}))


def _suits(given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> bool:
    """Return whether oneDNN takes these tensors, plain float32 ones on a CPU, and may prepare code for their sizes."""
    is_taken = (
        given.ndim > 1
        and given.numel() >= _LEAST_TOKENS * given.shape[-1]
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and all(
            type(tensor) in (torch.Tensor, nn.Parameter)
            and tensor.dtype is torch.float32
            and tensor.device.type == "cpu"
            and tensor.layout is torch.strided
            and tensor.is_contiguous()
            for tensor in (given, weight, *(() if bias is None else (bias,)))
        )
    )
    if not is_taken:
        return False
    shape = (given.numel() // given.shape[-1], *weight.shape)
    if len(_prepared) < _MOST_SHAPES:
        _prepared.add(shape)
    return shape in _prepared


def _linear(given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    output: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(given, weight, bias, "none", [], "")
    return output


@step("check", "whether oneDNN is the faster")
def _gain() -> float:
    """Return oneDNN's speed relative to PyTorch's, measured in 20 ms with the sizes of a small model."""
    with torch.inference_mode():
        given, weight, bias = torch.ones(256, 768), torch.ones(768, 768), torch.ones(768)
        sides = (F.linear, _linear)
        taken = [[_seconds(side, given, weight, bias) for side in sides] for _ in range(6)]
    return statistics.median(own / other for own, other in taken[1:])


def _seconds(compute: Callable[..., Any], *given: torch.Tensor) -> float:
    start = time.perf_counter()
    compute(*given)
    return time.perf_counter() - start
