"""Builds a packed model from its recipe."""

from __future__ import annotations

import torch

from pairchain.backends import Checkpoint
from pairchain_packed.blocks.linear import Linear
from pairchain_packed.config import PackedConfig
from pairchain_packed.execution import PackedExecution
from pairchain_packed.model import PackedModel
from pairchain_packed.recipe import Recipe
from pairchain_packed.weights import fill

# A second copy of more bytes costs more than it gains: a few percent where tokens are many.
_MOST_PREPACKED = 128 * 2**20


def build(checkpoint: Checkpoint, recipe: Recipe) -> tuple[PackedModel, PackedExecution]:
    """Return the model with its weights, and the object that runs it; errors are those of `weights.fill`."""
    with torch.device("meta"):
        model = PackedModel(recipe.plan, recipe.head, recipe.places, PackedConfig(checkpoint.config, recipe))
    fill(model, recipe.places, checkpoint.source, getattr(torch, recipe.dtype))
    # embeddings, norms, attention and head stay as they are
    inner = [part for layer in model.layers for part in layer.modules() if isinstance(part, Linear)]
    size = sum(part.weight.numel() * part.weight.itemsize for part in inner)
    for part in inner:
        part.form = "int8" if recipe.options.int8 else "prepacked" if size <= _MOST_PREPACKED else ""
    return model.eval(), PackedExecution()
