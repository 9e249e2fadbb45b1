"""Linear layers by oneDNN, which on some processors is nearly twice as fast as PyTorch's BLAS for a batch of pairs."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from functools import cache

import torch
from torch import nn
from torch.nn import functional

from pairchain.chain.observing import step

# With fewer tokens it is slower.
LEAST_TOKENS = 8

# oneDNN prepares code for each number of tokens and keeps 0.6 MB of it until the process ends. To have few numbers,
# rows of zeros fill up to the next sixteenth of a power of two, and at least to a multiple of 4. PyTorch computes what
# comes after this many shapes.
_SIXTEENTHS = 4
_LEAST_STEP = 4
_MOST_SHAPES = 512
_prepared: set[tuple[int, ...]] = set()

# The activations that oneDNN applies to a result while it is in the cache of the processor.
FUSED: dict[str, tuple[str, list[float], str]] = {
    "": ("none", [], ""),
    "gelu": ("gelu", [], "none"),
    "relu": ("relu", [], ""),
}

_measuring = threading.Lock()


def linear(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "") -> torch.Tensor:
    """Return ``states @ weight.T + bias`` by oneDNN, and the activation of that; only for what `suits`.

    Args:
        states: Shape (…, inputs).
        weight: Shape (outputs, inputs), or what `prepack` returns for it: the result is the same to the last bit.
        bias: Shape (outputs,), or None.
        activation: A name in `FUSED`.
    """
    tokens = states.numel() // states.shape[-1]
    rows = _filled(states.view(tokens, -1))
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(rows, weight, bias, *FUSED[activation])
    return result[:tokens].view(*states.shape[:-1], -1)


def prepack(weight: torch.Tensor) -> torch.Tensor:
    """Return a copy of ``weight`` in the order in which oneDNN reads it, which oneDNN otherwise makes at each call."""
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight.default(weight.detach())
    return packed


def suits(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Return whether oneDNN takes these tensors, plain float32 ones on a CPU, and may prepare code for their sizes."""
    is_taken = (
        states.ndim > 1
        and states.numel() >= LEAST_TOKENS * states.shape[-1]
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and all(map(_is_plain, (states, weight) if bias is None else (states, weight, bias)))
    )
    if not is_taken:
        return False
    shape = (_rows(states.numel() // states.shape[-1]), *weight.shape)
    if len(_prepared) < _MOST_SHAPES:
        _prepared.add(shape)
    return shape in _prepared


def is_available() -> bool:
    """Return whether PyTorch was built with oneDNN and has an operator for its linear layer."""
    found = torch.backends.mkldnn
    return bool(found.is_available() and found.enabled) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def is_faster() -> bool:
    """Return whether oneDNN is faster, measured once per process so that equal calls give equal results."""
    with _measuring:
        return _is_faster()


def is_prepacked_faster() -> bool:
    """Return whether prepacked weights make oneDNN faster, measured once per process as well."""
    with _measuring:
        return _is_prepacked_faster()


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        # the tensors of a quantiser say themselves how they are multiplied
        type(tensor) in (torch.Tensor, nn.Parameter)
        and tensor.dtype is torch.float32
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
    )


def _rows(tokens: int) -> int:
    """Return the number of rows in which ``tokens`` are computed."""
    step = max(1 << max(tokens.bit_length() - 1 - _SIXTEENTHS, 0), _LEAST_STEP)
    return -(-tokens // step) * step


def _filled(states: torch.Tensor) -> torch.Tensor:
    """Return ``states``, with rows of zeros after them up to `_rows`."""
    if (rows := _rows(len(states))) == len(states):
        return states
    filled = states.new_zeros(rows, states.shape[1])
    filled[: len(states)] = states
    return filled


@cache
@step("check", "whether oneDNN is the faster")
def _is_faster() -> bool:
    return is_available() and _gain(256) > 1


@cache
@step("check", "whether prepacked weights are the faster")
def _is_prepacked_faster() -> bool:
    return is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight") and _gain(64, prepack) > 1


def _gain(tokens: int, prepare: Callable[[torch.Tensor], torch.Tensor] | None = None) -> float:
    """Return oneDNN's speed relative to PyTorch's, measured in 20 ms with the sizes of a small model."""
    states, weight, bias = torch.ones(tokens, 384), torch.ones(1536, 384), torch.ones(1536)
    with torch.inference_mode():
        prepared = weight if prepare is None else prepare(weight)
        taken = [
            (_seconds(functional.linear, states, weight, bias), _seconds(linear, states, prepared, bias))
            for _ in range(8)
        ]
    return statistics.median(own / other for own, other in taken[1:])


def _seconds(compute: Callable[..., torch.Tensor], *given: torch.Tensor) -> float:
    start = time.perf_counter()
    compute(*given)
    return time.perf_counter() - start
