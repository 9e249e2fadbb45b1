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


def build(checkpoint: Checkpoint, recipe: Recipe) -> tuple[PackedModel, PackedExecution]:
    """Return the model with its weights, and the object that runs it; errors are those of `weights.fill`."""
    with torch.device("meta"):
        model = PackedModel(recipe.plan, recipe.head, recipe.places, PackedConfig(checkpoint.config, recipe))
    fill(model, recipe.places, checkpoint.source, getattr(torch, recipe.dtype))
    if recipe.options.int8:
        # embeddings, norms, attention and head stay as they are
        for part in (part for layer in model.layers for part in layer.modules()):
            if isinstance(part, Linear):
                part.int8 = True
    return model.eval(), PackedExecution()
