"""Linear layers on a CPU, computed by oneDNN instead of the BLAS that PyTorch calls, where that is faster on a machine.

Which one is depends on the processor: on some, the BLAS reaches little more than half of what oneDNN does with the few
hundred tokens of a batch. The weights stay where and as they are.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from pairchain import tracing

# With fewer tokens neither is faster, and oneDNN prepares itself for every new number of them.
_LEAST_TOKENS = 64

# So many tokens are computed before the time is taken to find out: for less it does not pay.
_TOKENS_BEFORE_A_CHECK = 512


class _Choice:
    """Which of the two is faster here; found out once for a process."""

    def __init__(self) -> None:
        self._tokens = 0
        self._is_faster: bool | None = None
        self._checking = threading.Lock()

    def for_tokens(self, count: int) -> bool:
        """Return whether oneDNN is known to be the faster, now that ``count`` more tokens are computed."""
        if self._is_faster is None:
            with self._checking:
                self._tokens += count
                if self._is_faster is None and self._tokens >= _TOKENS_BEFORE_A_CHECK:
                    self._is_faster = is_available() and _gain() > 1
        return bool(self._is_faster)


_choice = _Choice()


@contextmanager
def by_onednn(wanted: bool | None, features: Mapping[str, Any]) -> Iterator[None]:
    """Compute linear layers by oneDNN.

    Args:
        wanted: Whether to; None where it is faster.
        features: What is computed, which says how many tokens it is.
    """
    if wanted is None:
        tokens = _count_tokens(features)
        wanted = _choice.for_tokens(tokens) and tokens >= _LEAST_TOKENS
    if not wanted or not is_available():
        yield
        return
    tracing.note("linear layers by oneDNN")
    with _ByOneDNN():
        yield


def _count_tokens(features: Mapping[str, Any]) -> int:
    """Return how many tokens inputs have, padding included; images and audio without any have many."""
    ids = features.get("input_ids")
    return ids.numel() if isinstance(ids, torch.Tensor) else _TOKENS_BEFORE_A_CHECK


def is_available() -> bool:
    """Return whether PyTorch was built with oneDNN, and offers its linear layer."""
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


class _ByOneDNN(TorchFunctionMode):
    """Calls oneDNN wherever a linear layer is called that it computes as PyTorch does."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and _suits(*args):
            return _linear(*args)
        return func(*args, **(kwargs or {}))


def _suits(given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> bool:
    """Return whether these are what oneDNN takes: plain, of single precision, on a CPU, without gradients."""
    return (
        given.ndim > 1
        and given.numel() >= _LEAST_TOKENS * given.shape[-1]
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and all(
            type(tensor) in (torch.Tensor, torch.nn.Parameter)
            and tensor.dtype is torch.float32
            and tensor.device.type == "cpu"
            and tensor.layout is torch.strided
            and tensor.is_contiguous()
            for tensor in (given, weight, *(() if bias is None else (bias,)))
        )
    )


def _linear(given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    output: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(given, weight, bias, "none", [], "")
    return output


@tracing.step("check", "whether oneDNN is the faster")
def _gain() -> float:
    """Return how often as fast as PyTorch's own oneDNN is, with what a batch of a small model has; takes 20 ms."""
    with torch.inference_mode():
        given, weight, bias = torch.ones(256, 768), torch.ones(768, 768), torch.ones(768)
        sides = (F.linear, _linear)
        taken = [[_seconds(side, given, weight, bias) for side in sides] for _ in range(6)]
    return statistics.median(own / other for own, other in taken[1:])


def _seconds(compute: Callable[..., Any], *given: torch.Tensor) -> float:
    start = time.perf_counter()
    compute(*given)
    return time.perf_counter() - start
