"""The standard modules that come after the first keep the contract of every module."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pairchain.modules import Dense, LayerNorm, LogitScore, Normalize, Pooling, Router
from pairchain.testing import ModuleContract


class TestLogitScore(ModuleContract):
    def make_module(self) -> nn.Module:
        return LogitScore(7, 9)


class TestLogitScoreOfOneToken(ModuleContract):
    def make_module(self) -> nn.Module:
        return LogitScore(3, module_input_name="other_logits")


class TestDense(ModuleContract):
    def make_module(self) -> nn.Module:
        return Dense(6, 4, activation_function=nn.LeakyReLU(0.5))


class TestDenseThatScores(ModuleContract):
    def make_module(self) -> nn.Module:
        return Dense(6, 3, bias=False, activation_function=None, module_output_name="scores")


class TestDenseWithAResidual(ModuleContract):
    def make_module(self) -> nn.Module:
        return Dense(6, 4, module_input_name="pooled", module_output_name="projected", use_residual=True)


class TestNormalize(ModuleContract):
    def make_module(self) -> nn.Module:
        return Normalize("pooled", "unit")


class TestLayerNorm(ModuleContract):
    def make_module(self) -> nn.Module:
        return LayerNorm(12)


class TestPooling(ModuleContract):
    def make_module(self) -> nn.Module:
        return Pooling(8, "weightedmean")


class TestPoolingOfTheFirstToken(ModuleContract):
    def make_module(self) -> nn.Module:
        return Pooling(8, "cls")


class TestPoolingOfTheLastToken(ModuleContract):
    def make_module(self) -> nn.Module:
        return Pooling(8, "lasttoken")


class TestPoolingInSeveralModes(ModuleContract):
    def make_module(self) -> nn.Module:
        return Pooling(8, ["max", "mean", "mean_sqrt_len_tokens"], include_prompt=False)

    def make_features(self) -> dict[str, Any]:
        mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]])
        return {"token_embeddings": torch.randn(3, 4, 8), "attention_mask": mask, "prompt_length": 1}


class TestRouterLaterInAChain(ModuleContract):
    def make_module(self) -> nn.Module:
        return Router.for_query_document([Dense(6, 4)], [Dense(6, 4), Normalize()])

    keywords = {"task": "query"}
