"""Linear layers and the activations after them, by oneDNN where it is faster than PyTorch's BLAS."""

from __future__ import annotations

import torch
from torch.nn import functional

from pairchain.authoring import onednn
from pairchain_packed.blocks.activation import FUNCTIONS


def affine(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "") -> torch.Tensor:
    """Return ``states @ weight.T + bias``, and the activation of that if one is named.

    Args:
        states: Shape (…, inputs).
        weight: Shape (outputs, inputs).
        bias: Shape (outputs,), or None.
        activation: A name in `blocks.activation`.
    """
    if onednn.suits(states, weight, bias) and onednn.is_faster():
        if activation in onednn.FUSED:
            return onednn.linear(states, weight, bias, activation)
        result = onednn.linear(states, weight, bias)
    else:
        result = functional.linear(states, weight, bias)
    return FUNCTIONS[activation](result) if activation else result
