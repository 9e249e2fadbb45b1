"""Linear layers and the activations after them, by oneDNN where it is faster than PyTorch's BLAS."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from pairchain.authoring import onednn
from pairchain_packed.blocks.activation import FUNCTIONS
from pairchain_packed.prepared import Prepared, Rows

_prepacked = Prepared(onednn.prepack)


def affine(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "") -> torch.Tensor:
    """Return ``states @ weight.T + bias``, and the activation of that if one is named.

    Args:
        states: Shape (…, inputs).
        weight: Shape (outputs, inputs).
        bias: Shape (outputs,), or None.
        activation: A name in `blocks.activation`.
    """
    if onednn.suits(states, weight, bias) and onednn.is_faster():
        return _by_onednn(states, weight, bias, activation)
    result = functional.linear(states, weight, bias)
    return FUNCTIONS[activation](result) if activation else result


def can_prepack(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Return whether `prepacked_affine` takes these tensors, and is the faster."""
    return onednn.suits(states, weight, bias) and onednn.is_prepacked_faster()


def prepacked_affine(
    layer: nn.Module,
    rows: Rows,
    states: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    activation: str = "",
) -> torch.Tensor:
    """Return what `affine` returns, with a copy of the weight in the order in which oneDNN reads it.

    Args:
        layer: The layer that ``weight`` is of; the copy is kept as long as it exists and its weights are the same.
        rows: Which rows of the layer ``weight`` is.
        states: Shape (…, inputs).
        weight: Shape (outputs, inputs).
        bias: Shape (outputs,), or None.
        activation: A name in `blocks.activation`.
    """
    return _by_onednn(states, _prepacked.of(layer, rows, weight), bias, activation)


def _by_onednn(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, activation: str) -> torch.Tensor:
    if activation in onednn.FUSED:
        return onednn.linear(states, weight, bias, activation)
    return FUNCTIONS[activation](onednn.linear(states, weight, bias))
