"""Linear layers; one may hold several of the library's layers side by side."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from pairchain_packed.blocks.activation import FUNCTIONS
from pairchain_packed.blocks.block import Block
from pairchain_packed.kernels import affine, can_prepack, prepacked_affine
from pairchain_packed.quantized import can_quantize, quantized_affine


class Linear(Block):
    """An affine map of the last axis.

    Args:
        inputs: Size of the axis.
        outputs: Sizes of the results, which stand side by side.
        has_bias: Whether a bias is added.

    Attributes:
        form: The form of the weights with which it computes where it can: ``int8`` for 8-bit integers, ``prepacked``
            for a copy in the order in which oneDNN reads them, or empty for the weights themselves.
    """

    bias: torch.Tensor | None

    def __init__(self, inputs: int, *outputs: int, has_bias: bool = True) -> None:
        super().__init__()
        self.outputs = outputs
        self.form: Literal["", "int8", "prepacked"] = ""
        self.weight = nn.Parameter(torch.empty(sum(outputs), inputs))
        self.register_parameter("bias", nn.Parameter(torch.empty(sum(outputs))) if has_bias else None)

    def forward(
        self, states: torch.Tensor, first: int = 0, last: int | None = None, activation: str = ""
    ) -> torch.Tensor:
        """Return the results from number ``first`` up to ``last``, of shape (…, sum of their sizes).

        Args:
            states: Shape (…, inputs).
            first: The number of the first result.
            last: The number after the last result.
            activation: The name of a function that follows, if one does.
        """
        weight: torch.Tensor = self.weight
        bias = self.bias
        if first or last is not None:
            rows = slice(sum(self.outputs[:first]), sum(self.outputs[:last]))
            weight, bias = self.weight[rows], None if self.bias is None else self.bias[rows]
        if self.form == "prepacked" and can_prepack(states, weight, bias):
            return prepacked_affine(self, (first, last), states, weight, bias, activation)
        if self.form == "int8" and can_quantize(states):
            result = quantized_affine(self, (first, last), states, weight, bias)
            return FUNCTIONS[activation](result) if activation else result
        return affine(states, weight, bias, activation)
