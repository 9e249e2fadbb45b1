"""Tests of NewTypeName."""

from __future__ import annotations

import torch
from pairchain.testing import ModuleContract

from new_plugin_name import NewTypeName


class TestNewTypeName(ModuleContract):
    """A chain can run, save, load and move the module."""

    def make_module(self) -> NewTypeName:
        return NewTypeName(dimension=8)


def test_a_pair_scores_the_weighted_sum_of_its_embedding() -> None:
    module = NewTypeName(dimension=2)
    with torch.no_grad():
        module.weights.weight.copy_(torch.tensor([[1.0, 2.0]]))
        module.weights.bias.fill_(3.0)

    scores = module({"sentence_embedding": torch.tensor([[10.0, 20.0]])})["scores"]

    assert scores.tolist() == [[53.0]]
