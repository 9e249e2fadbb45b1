"""Linear layers in 8-bit integers, by torch's oneDNN operators on a CPU.

Weights have one scale a row (an output), activations one a token, so that a token with large values costs the others no
precision. Sums are 32-bit integers, and results floats.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from pairchain_packed.prepared import Prepared, Rows

# The largest magnitude of an 8-bit integer with both signs.
_LARGEST = 127
# oneDNN is fast for unsigned activations alone, so they are moved up by this much.
_ZERO = 128
# oneDNN prepares and keeps code for each number of tokens, so numbers are rounded up.
_TOKENS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class _Quantized:
    """Rows of a weight.

    Attributes:
        packed: The integers, as oneDNN reads them.
        scales: The value of 1 in each row, shape (outputs,).
        zeros: The integers that mean 0, shape (outputs,).
    """

    packed: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor


def can_quantize(states: torch.Tensor) -> bool:
    """Return whether ``states`` can be multiplied as integers here: on a CPU, without gradients."""
    has_operator = hasattr(torch.ops.onednn, "qlinear_pointwise")
    return has_operator and states.device.type == "cpu" and states.ndim == 2 and not torch.is_grad_enabled()


def quantized_affine(
    layer: nn.Module, rows: Rows, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Return about ``states @ weight.T + bias``.

    Args:
        layer: The layer that ``weight`` is of; the integers are kept as long as it exists and its weights are the same.
        rows: Which rows of the layer ``weight`` is.
        states: Shape (tokens, inputs).
        weight: Shape (outputs, inputs).
        bias: Shape (outputs,), or None.
    """
    made = _quantized.of(layer, rows, weight)
    # the smallest and the largest value are found sooner than the largest magnitude
    largest = torch.maximum(states.amax(dim=1, keepdim=True), -states.amin(dim=1, keepdim=True))
    scales = largest.float().div_(_LARGEST).clamp_(min=torch.finfo(torch.float32).tiny)
    # PyTorch converts to signed integers ten times as fast; the highest bit is that of 128
    integers = (states / scales).round_().to(torch.int8).view(torch.uint8).bitwise_xor_(_ZERO)
    missing = -len(states) % _TOKENS_AT_ONCE
    if missing and len(states) > 1:
        integers = functional.pad(integers, (0, 0, 0, missing), value=_ZERO)
    sums = torch.ops.onednn.qlinear_pointwise.default(
        integers, 1.0, _ZERO, made.packed, made.scales, made.zeros, None, 1.0, 0, torch.float32, "none", [], "none"
    )[: len(states)]
    result = sums * scales if bias is None else torch.addcmul(bias.float(), sums, scales)
    return result.to(states.dtype)


def _quantize(weight: torch.Tensor) -> _Quantized:
    scales = weight.float().abs().amax(dim=1).div_(_LARGEST).clamp_(min=torch.finfo(torch.float32).tiny)
    integers = (weight.float() / scales.unsqueeze(1)).round_().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(integers, None)
    return _Quantized(packed, scales, torch.zeros(len(weight), dtype=torch.int32))


_quantized = Prepared(_quantize)
