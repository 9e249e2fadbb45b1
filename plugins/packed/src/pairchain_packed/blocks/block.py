"""What all parts of a model are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn


class Block(nn.Module):
    """A part of a model; it returns a tensor."""

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            """Return what ``forward`` returns."""
