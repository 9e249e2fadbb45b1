"""Attention of inputs of all lengths in one call, on a GPU: FlashAttention-2 (Dao, 2023) as PyTorch has it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from pairchain_packed.blocks.reach import Reach

_DTYPES = (torch.float16, torch.bfloat16)
_LARGEST_HEAD = 256
# Ampere, the first GPUs with these kernels
_FIRST_CAPABILITY = (8, 0)


def serves(queries: torch.Tensor, reach: Reach) -> bool:
    """Return whether `attend` computes such queries, on their device and with the installed PyTorch."""
    plan = reach.plan
    # its queries are the last tokens of their inputs, so what a first token may read cannot be told to it
    is_told = reach.at != "first" or (reach.window is None and not plan.is_causal)
    is_sized = plan.head_size <= _LARGEST_HEAD and plan.head_size % 8 == 0
    return (
        is_told
        and is_sized
        and plan.cap is None
        and queries.dtype in _DTYPES
        and _has_kernels(queries.device)
        and _kernel() is not None
    )


def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, reach: Reach) -> torch.Tensor:
    """Return what each query reads; see `by_length.attend`."""
    kernel, batch, plan = _kernel(), reach.batch, reach.plan
    assert kernel is not None
    if reach.before is not None:
        keys, values = (
            torch.cat([earlier.squeeze(0).transpose(0, 1), later])[batch.read_places]
            for earlier, later in zip(reach.before, (keys, values), strict=True)
        )
    far = -1 if reach.window is None else reach.window
    read: torch.Tensor = kernel(
        queries,
        keys,
        values,
        batch.row_bounds if reach.at else batch.token_bounds,
        batch.read_bounds,
        1 if reach.at else max(batch.lengths),
        batch.before + max(batch.lengths),
        scale=plan.scale,
        window_size=(far, 0 if plan.is_causal else far),
        enable_gqa=plan.heads != plan.key_heads,
    )
    return read


@cache
def _has_kernels(device: torch.device) -> bool:
    return (
        device.type == "cuda"
        and torch.version.cuda is not None
        and torch.cuda.get_device_capability(device) >= _FIRST_CAPABILITY
    )


@cache
def _kernel() -> Callable[..., Any] | None:
    """Return PyTorch's function; None if the installed PyTorch has none that takes windows and shared keys."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    taken = inspect.signature(varlen_attn).parameters.keys()
    return varlen_attn if {"window_size", "enable_gqa", "scale"} <= taken else None
