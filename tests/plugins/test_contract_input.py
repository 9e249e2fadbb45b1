"""The standard input modules, Transformer with several tasks and Router, keep the contract of input modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image
from tiny_models import GOLDEN
from torch import nn

from pairchain.modules import Dense, LogitScore, Pooling, Router, Transformer
from pairchain.testing import InputModuleContract

pytestmark = pytest.mark.slow

BLUE, RED = (Image.new("RGB", (24, 24), color) for color in ("blue", "red"))


def saved(case: str) -> nn.Module:
    """Return the Transformer of a golden model, with the settings that it was saved with."""
    module: nn.Module = Transformer.load(str(GOLDEN / case / "model"))
    return module


class TestSequenceClassification(InputModuleContract):
    def make_module(self) -> nn.Module:
        return saved("bert_seqcls_1label")


class TestThreeLabels(InputModuleContract):
    def make_module(self) -> nn.Module:
        return saved("bert_seqcls_3labels")


class TestFeatureExtraction(InputModuleContract):
    def make_module(self) -> nn.Module:
        return saved("pooling_mean")


class TestTextGeneration(InputModuleContract):
    def make_module(self) -> nn.Module:
        return saved("qwen3_causal_logitscore")

    def make_chain(self, module: nn.Module) -> Sequence[nn.Module]:
        return [module, LogitScore(7, 9)]


class TestChatTemplate(InputModuleContract):
    def make_module(self) -> nn.Module:
        return saved("qwen3_seqcls_chat_template")


class TestImages(InputModuleContract):
    pairs = [("what is blue ?", BLUE), (RED, "a red square"), ("text", "text"), (RED, BLUE)]

    def make_module(self) -> nn.Module:
        return saved("vlm_llava")

    def make_chain(self, module: nn.Module) -> Sequence[nn.Module]:
        return [module, LogitScore(7, 9)]


class TestRouter(InputModuleContract):
    keywords = {"task": "query"}

    def make_module(self) -> nn.Module:
        routes: dict[str, Any] = {
            "query": [saved("pooling_mean"), Pooling(32)],
            "document": [saved("pooling_max"), Pooling(32, "max"), Dense(32, 32)],
        }
        return Router(routes, default_route="document")
