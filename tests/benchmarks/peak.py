"""How fast the machine multiplies matrices, and how many operations a model needs for pairs, to compare the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

# Rows, inner size and columns: large enough that nothing but the multiplication counts, small enough for a round.
_SHAPE = (1024, 2048, 2048)

# A name that the modules of every layer have in common; the embeddings and the head lie outside.
_LAYERS = (".layer.", ".layers.")


def multiplication(dtype: str) -> tuple[Callable[[], object], int]:
    """Return a multiplication of two large matrices, and its floating-point operations."""
    rows, inner, columns = _SHAPE
    left = torch.randn(rows, inner, dtype=getattr(torch, dtype))
    right = torch.randn(inner, columns, dtype=getattr(torch, dtype))
    return lambda: left @ right, 2 * rows * inner * columns


def operations(model: nn.Module, lengths: Sequence[int]) -> int:
    """Return the floating-point operations of the layers, without padding, for inputs of these lengths.

    Counted are linear layers and attention, each input by itself: to share a prefix, or to leave out what nobody reads,
    saves some of them, so that a share of the peak may exceed what was computed.
    """
    linear = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and any(part in f".{name}" for part in _LAYERS)
    ]
    config = _text_config(model)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = 4 * config.num_hidden_layers * width * config.num_attention_heads
    if not getattr(config, "is_encoder", True) or "CausalLM" in type(_inner(model)).__name__:
        attention //= 2
    return 2 * sum(module.weight.numel() for module in linear) * sum(lengths) + attention * sum(
        length * length for length in lengths
    )


def _inner(model: nn.Module) -> Any:
    return next(module for module in model.modules() if hasattr(module, "config"))


def _text_config(model: nn.Module) -> Any:
    return _inner(model).config
