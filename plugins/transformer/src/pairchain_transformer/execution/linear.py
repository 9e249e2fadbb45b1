"""Sends the linear layers of the library's classes to oneDNN; the weights are neither moved nor converted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from pairchain.authoring import note, onednn


@contextmanager
def by_onednn(wanted: bool | None, model: nn.Module, features: Mapping[str, Any]) -> Iterator[None]:
    """Inside the block, compute linear layers with oneDNN if ``wanted``, or, if that is None, where it is faster."""
    if wanted is None:
        weight, ids = next(model.parameters(), None), features.get("input_ids")
        is_on_cpu = weight is not None and weight.device.type == "cpu" and weight.dtype is torch.float32
        is_small = isinstance(ids, torch.Tensor) and ids.numel() < onednn.LEAST_TOKENS
        wanted = is_on_cpu and not is_small and onednn.is_faster()
    if not wanted or not onednn.is_available():
        yield
        return
    note("linear layers by oneDNN")
    with _ByOneDNN():
        yield


class _ByOneDNN(TorchFunctionMode):
    """Sends linear layers to oneDNN if it takes their tensors; PyTorch computes the others."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs:
            states, weight, bias = (*args, None)[:3]
            if onednn.suits(states, weight, bias):
                return onednn.linear(states, weight, bias)
        return func(*args, **(kwargs or {}))
