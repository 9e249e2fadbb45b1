"""The library's model as a function of tensors that can be traced, and inputs to trace and to compare with."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

# Shapes (inputs, positions) of the comparison: one, several, and longer than the windows of local attention.
_SHAPES = ((1, 4), (3, 17), (2, 150))
_TRACED_SHAPE = (2, 9)


class Traced(nn.Module):
    """Calls a model with named inputs, and returns one field of its output.

    Args:
        model: A model of the transformers library.
        names: Names of its inputs, in order.
        field: The field of its output.
        pads_left: Whether padding is on the left, because the model continues its input.

    Attributes:
        has_positions: Whether the output has an axis of positions that the input decides.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], field: str, *, pads_left: bool) -> None:
        super().__init__()
        self.model, self.names, self.field, self.pads_left = model, list(names), field, pads_left
        taken = inspect.signature(model.forward).parameters
        wanted: dict[str, Any] = {"return_dict": True, "use_cache": False}
        if pads_left:
            # a score reads the last position only, and a vocabulary is large
            wanted["logits_to_keep"] = 1
        self._more = {name: value for name, value in wanted.items() if name in taken}
        self.has_positions = field != "logits" or (pads_left and "logits_to_keep" not in taken)
        self.eval()

    def forward(self, *inputs: torch.Tensor, **further: torch.Tensor) -> torch.Tensor:
        """Return the field for ``inputs``, tensors of shape (inputs, positions) in the order of ``names``.

        Args:
            *inputs: The inputs.
            **further: Inputs that are not among ``names``.
        """
        given = {**dict(zip(self.names, inputs, strict=True)), **further}
        output: torch.Tensor = self.model(**given, **self._more)[self.field]
        return output

    def example(self) -> tuple[torch.Tensor, ...]:
        """Return inputs to trace, one row of them padded."""
        return self._inputs(_TRACED_SHAPE, torch.Generator().manual_seed(0))

    def comparisons(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield inputs of several shapes, with padding."""
        generator = torch.Generator().manual_seed(1)
        text = self.model.config.get_text_config()  # type: ignore[union-attr, operator]
        # some tables of positions begin with places that no token gets
        most = (getattr(text, "max_position_embeddings", None) or 1024) - 4
        for rows, length in _SHAPES:
            yield self._inputs((rows, min(length, most)), generator)

    def _inputs(self, shape: tuple[int, int], generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        rows, length = shape
        text: Any = self.model.config.get_text_config()  # type: ignore[union-attr, operator]
        pad = getattr(text, "pad_token_id", None)
        pad = 0 if pad is None else pad
        ids = torch.randint(0, text.vocab_size, shape, generator=generator)
        # models find the end of an input by its padding, so no other token may be it
        ids[ids == pad] = (pad + 1) % text.vocab_size
        mask = torch.ones(shape, dtype=torch.int64)
        for row in range(1, rows):
            # much padding, so that some of it is outside of windows of attention
            count = row * length // rows
            padding = slice(0, count) if self.pads_left else slice(length - count, length)
            ids[row, padding], mask[row, padding] = pad, 0
        types = torch.zeros(shape, dtype=torch.int64)
        types[:, length // 2 :] = 1
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types * mask}
        return tuple(values[name] for name in self.names)
