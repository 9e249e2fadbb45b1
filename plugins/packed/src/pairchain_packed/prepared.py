"""Keeps weights in the form in which a kernel reads them, as long as they stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from pairchain.authoring import Sample

Form = TypeVar("Form")

# The rows of a layer that are computed, from one to before another; None stands for the end.
Rows = tuple[int, int | None]


class Prepared(Generic[Form]):
    """The weights of layers in one form.

    Args:
        prepare: Returns the form of a weight of shape (outputs, inputs).
    """

    def __init__(self, prepare: Callable[[torch.Tensor], Form]) -> None:
        self._prepare = prepare
        self._known: WeakKeyDictionary[nn.Module, dict[Rows, tuple[Form, Sample]]] = WeakKeyDictionary()

    def of(self, layer: nn.Module, rows: Rows, weight: torch.Tensor) -> Form:
        """Return the form of ``weight``, the rows ``rows`` of the layer's; it is kept as long as the layer exists."""
        known = self._known.setdefault(layer, {})
        if (found := known.get(rows)) is not None and found[1].matches([weight]):
            return found[0]
        form = self._prepare(weight.detach())
        known[rows] = form, Sample([weight])
        return form
