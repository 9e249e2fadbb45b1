"""Linear layers on a CPU: by oneDNN, which also applies the activation, where it is faster than PyTorch's BLAS."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from functools import cache

import torch
from torch.nn import functional

from pairchain.authoring import step
from pairchain_packed.blocks.activation import FUNCTIONS

# With fewer tokens neither is faster.
_LEAST_TOKENS = 64

# oneDNN prepares code for each number of tokens and keeps 0.6 MB of it until the process ends. To have few numbers,
# rows of zeros fill up to the next sixteenth of a power of two. PyTorch computes what comes after this many shapes.
_SIXTEENTHS = 4
_MOST_SHAPES = 512
_prepared: set[tuple[int, ...]] = set()

# The activations that oneDNN applies to a result while it is in the cache of the processor.
_Fusion = tuple[str, list[float], str]
_FUSED: dict[str, _Fusion] = {"": ("none", [], ""), "gelu": ("gelu", [], "none"), "relu": ("relu", [], "")}

_measuring = threading.Lock()


def affine(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "") -> torch.Tensor:
    """Return ``states @ weight.T + bias``, and the activation of that if one is named.

    Args:
        states: Shape (tokens, inputs).
        weight: Shape (outputs, inputs).
        bias: Shape (outputs,), or None.
        activation: A name in `blocks.activation`.
    """
    if _suits(states, weight) and _is_faster():
        name, scalars, algorithm = _FUSED.get(activation, _FUSED[""])
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(
            _filled(states), weight, bias, name, scalars, algorithm
        )
        result = result[: len(states)]
        return result if activation in _FUSED else FUNCTIONS[activation](result)
    result = functional.linear(states, weight, bias)
    return FUNCTIONS[activation](result) if activation else result


def _rows(tokens: int) -> int:
    """Return the number of rows in which ``tokens`` are computed."""
    step = 1 << max(tokens.bit_length() - 1 - _SIXTEENTHS, 0)
    return -(-tokens // step) * step


def _filled(states: torch.Tensor) -> torch.Tensor:
    """Return ``states``, with rows of zeros after them up to `_rows`."""
    if (rows := _rows(len(states))) == len(states):
        return states
    filled = states.new_zeros(rows, states.shape[1])
    filled[: len(states)] = states
    return filled


def _suits(states: torch.Tensor, weight: torch.Tensor) -> bool:
    """Return whether oneDNN may compute this, and prepare code for its sizes."""
    if states.dtype is not torch.float32 or weight.dtype is not torch.float32 or states.device.type != "cpu":
        return False
    if states.ndim != 2 or len(states) < _LEAST_TOKENS or not states.is_contiguous():
        return False
    if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    shape = (_rows(len(states)), *weight.shape)
    if len(_prepared) < _MOST_SHAPES:
        _prepared.add(shape)
    return shape in _prepared


def _is_faster() -> bool:
    """Return whether oneDNN is faster, measured once per process so that equal calls give equal results."""
    with _measuring:
        return _measured()


@cache
def _measured() -> bool:
    found = torch.backends.mkldnn
    if not found.is_available() or not found.enabled or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return _gain() > 1


@step("check", "whether oneDNN is the faster")
def _gain() -> float:
    """Return oneDNN's speed relative to PyTorch's, measured in 20 ms with the sizes of a small model."""
    states, weight, bias = torch.ones(256, 384), torch.ones(1536, 384), torch.ones(1536)

    def by_blas() -> torch.Tensor:
        return functional.gelu(functional.linear(states, weight, bias))

    def by_onednn() -> torch.Tensor:
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(states, weight, bias, "gelu", [], "none")
        return result

    with torch.inference_mode():
        taken = [(_seconds(by_blas), _seconds(by_onednn)) for _ in range(8)]
    return statistics.median(own / other for own, other in taken[1:])


def _seconds(compute: Callable[[], torch.Tensor]) -> float:
    start = time.perf_counter()
    compute()
    return time.perf_counter() - start
