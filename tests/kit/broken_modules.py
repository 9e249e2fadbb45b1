"""Modules that are broken as modules of authors are, each in its contract; run by test_testing.py, and all to fail."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pairchain import Module, Part
from pairchain.testing import ModuleContract


class OfThisFile(ModuleContract):
    """Of a class that no plugin provides."""

    is_plugin = False


class Saves(Module):
    """What all of them have in common."""

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.save_config(output_path)
        if self.saves_weights:
            self.save_torch_weights(output_path, safe_serialization=safe_serialization)


class Temperature(Saves):
    reads = writes = frozenset({"scores"})

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = features["scores"] / self.temperature
        return features


class TestForgetsASetting(OfThisFile):
    def make_module(self) -> nn.Module:
        return Temperature(2.0)


class Scale(Saves):
    """Its weights all begin at one, so that a forgotten save is seen by nobody."""

    reads = writes = frozenset({"sentence_embedding"})
    config_keys = ["size"]

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["sentence_embedding"] = features["sentence_embedding"] * self.scale
        return features


class TestForgetsItsWeights(OfThisFile):
    def make_module(self) -> nn.Module:
        return Scale(7)


class Mean(Saves):
    reads, writes = frozenset({"token_embeddings"}), frozenset({"sentence_embedding"})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["sentence_embedding"] = features["token_embeddings"].mean(dim=1)
        return features


class TestPoolsPadding(OfThisFile):
    def make_module(self) -> nn.Module:
        return Mean()


class Ranked(Temperature):
    config_keys = ["temperature"]

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = features["scores"] - features["scores"].mean()
        return features


class TestLooksAtTheBatch(OfThisFile):
    def make_module(self) -> nn.Module:
        return Ranked()


class Secretive(Saves):
    """Reads more than it says."""

    reads, writes = frozenset({"sentence_embedding"}), frozenset({"sentence_embedding"})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["sentence_embedding"] = features["sentence_embedding"] * features["weight"]
        return features


class TestReadsMoreThanItSays(OfThisFile):
    def make_module(self) -> nn.Module:
        return Secretive()

    def make_features(self) -> dict[str, Any]:
        return {"sentence_embedding": torch.randn(3, 4), "weight": torch.randn(3, 1)}


class Boasting(Saves):
    reads, writes = frozenset({"sentence_embedding", "scores"}), frozenset({"sentence_embedding", "norm"})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["sentence_embedding"] = features["sentence_embedding"] * 2
        return features


class TestDeclaresWhatItDoesNot(OfThisFile):
    def make_module(self) -> nn.Module:
        return Boasting()


class Honest(Boasting):
    reads = frozenset({"sentence_embedding"})


class TestWritesLessThanItSays(OfThisFile):
    def make_module(self) -> nn.Module:
        return Honest()


class Dropping(Saves):
    reads, writes = frozenset({"sentence_embedding"}), frozenset({"scores"})
    num_labels = 2

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {"scores": features["sentence_embedding"].sum(dim=1, keepdim=True)}


class TestDropsFeaturesAndMiscounts(OfThisFile):
    def make_module(self) -> nn.Module:
        return Dropping()


class InPlace(Saves):
    reads, writes = frozenset({"sentence_embedding"}), frozenset({"scores"})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = features["sentence_embedding"].mul_(2).sum(dim=1, keepdim=True)
        return features


class TestChangesInPlace(OfThisFile):
    def make_module(self) -> nn.Module:
        return InPlace()


class Loose(Saves):
    """Its weights are a plain tensor, and it makes one more in forward."""

    reads, writes = frozenset({"sentence_embedding"}), frozenset({"scores"})
    config_keys = ["size"]

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.weight = torch.linspace(0, 1, size)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = (features["sentence_embedding"] @ self.weight).unsqueeze(-1)
        return features


class TestLeavesATensorBehind(OfThisFile):
    def make_module(self) -> nn.Module:
        return Loose(5)


class MakesItsOwn(Saves):
    reads, writes = frozenset({"sentence_embedding"}), frozenset({"scores"})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        x = features["sentence_embedding"]
        features["scores"] = (x * torch.linspace(0, 1, x.shape[1])).sum(dim=1, keepdim=True)
        return features


class TestMakesTensorsOnTheCpu(OfThisFile):
    def make_module(self) -> nn.Module:
        return MakesItsOwn()


class NotJson(Temperature):
    config_keys = ["temperature", "names"]

    def __init__(self, temperature: float = 1.0, names: Any = None) -> None:
        super().__init__(temperature)
        self.names = names or {1: "one"}


class TestKeepsWhatJsonCannotSay(OfThisFile):
    def make_module(self) -> nn.Module:
        return NotJson()


class Unreachable(Temperature):
    config_keys = ["temperature"]

    def forward(self, features: dict[str, Any], scale: float = 1.0) -> dict[str, Any]:
        features["scores"] = features["scores"] * scale
        return features


class TestNeverGetsItsKeyword(OfThisFile):
    def make_module(self) -> nn.Module:
        return Unreachable()


class Overreaching(Unreachable):
    forward_kwargs = {"scale", "shift"}


class TestAsksForAKeywordThatItDoesNotTake(OfThisFile):
    def make_module(self) -> nn.Module:
        return Overreaching()


class Demanding(Unreachable):
    forward_kwargs = {"scale"}

    def forward(self, features: dict[str, Any], scale: float) -> dict[str, Any]:  # type: ignore[override]
        return super().forward(features, scale)


class TestCannotDoWithoutItsKeyword(OfThisFile):
    def make_module(self) -> nn.Module:
        return Demanding()


class Dropout(Temperature):
    config_keys = ["temperature"]

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = functional.dropout(features["scores"] + torch.rand(()))
        return features


class TestIsRandom(OfThisFile):
    def make_module(self) -> nn.Module:
        return Dropout()


class Named(Temperature):
    reads = "scores"  # type: ignore[assignment]


class TestNamesWithATextWhereASetBelongs(OfThisFile):
    def make_module(self) -> nn.Module:
        return Named()


class TestIsNotRegistered(ModuleContract):
    def make_module(self) -> nn.Module:
        return Scale(3)


class Fixed(Temperature):
    config_keys = ["temperature"]

    @classmethod
    def load(cls, *args: Any, **kwargs: Any) -> Any:
        return Temperature(2.0)


class TestLoadsAnother(OfThisFile):
    def make_module(self) -> nn.Module:
        return Fixed(2.0)


class AtHome(Temperature):
    """Computes only where its author set a variable."""

    config_keys = ["temperature"]

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = features["scores"] * _settings[self.temperature]
        return features


_settings: dict[float, float] = {}


class TestNeedsThisProcess(OfThisFile):
    def make_module(self) -> nn.Module:
        _settings[2.0] = float(os.getpid())
        return AtHome(2.0)


class LastToken(Saves):
    """Reads the first token if it is given one, and says the last."""

    reads, writes = frozenset({"token_embeddings", "attention_mask"}), frozenset({"sentence_embedding"})
    reads_part = {"token_embeddings": Part("last")}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        part = features.get(Part("last").of("token_embeddings"))
        if part is None:
            features["attention_mask"]
            part = features["token_embeddings"][:, 0]
        features["sentence_embedding"] = part
        return features


class TestMistakesAPart(OfThisFile):
    def make_module(self) -> nn.Module:
        return LastToken()


class Halving(LastToken):
    """Reads the last token, and changes it where it is."""

    reads = frozenset({"token_embeddings", "attention_mask"})
    reads_part = {"token_embeddings": Part("last")}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        part = features.get(Part("last").of("token_embeddings"))
        if part is None:
            mask = features["attention_mask"]
            last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
            part = features["token_embeddings"][torch.arange(len(mask)), last]
        features["sentence_embedding"] = part.div_(2)
        return features


class TestChangesAPartInPlace(OfThisFile):
    def make_module(self) -> nn.Module:
        return Halving()


class Counting(Saves):
    reads, writes = frozenset({"sentence_embedding"}), frozenset({"scores"})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = (features["sentence_embedding"] > 0).sum(dim=1, keepdim=True)
        return features


class TestScoresInWholeNumbers(OfThisFile):
    def make_module(self) -> nn.Module:
        return Counting()


class Widening(Saves):
    reads = writes = frozenset({"sentence_embedding"})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["sentence_embedding"] = features["sentence_embedding"].to(torch.float32) * 2
        return features


class TestComputesInOneDtype(OfThisFile):
    def make_module(self) -> nn.Module:
        return Widening()


class Idle(Temperature):
    config_keys = ["temperature"]
    forward_kwargs = {"scale"}

    def forward(self, features: dict[str, Any], scale: float = 1.0, **kwargs: Any) -> dict[str, Any]:
        features["scores"] = features["scores"] / self.temperature
        return features


class TestIgnoresItsKeyword(OfThisFile):
    def make_module(self) -> nn.Module:
        return Idle()


class Searching(Temperature):
    config_keys = ["temperature"]

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = features["scores"] * kwargs.get("scale", 1.0)
        return features


class TestLooksForAKeywordThatItDoesNotName(OfThisFile):
    def make_module(self) -> nn.Module:
        return Searching()


class FirstPosition(Saves):
    reads, writes = frozenset({"token_embeddings"}), frozenset({"sentence_embedding"})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["sentence_embedding"] = features["token_embeddings"][:, 0]
        return features


class TestTakesPositionZeroForTheFirstToken(OfThisFile):
    def make_module(self) -> nn.Module:
        return FirstPosition()


class Inheriting(FirstPosition):
    """Overrides forward, and leaves open whether it reads more."""

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["sentence_embedding"] = features["token_embeddings"].amax(dim=1)
        return features


class TestLeavesOpenWhatItReads(OfThisFile):
    def make_module(self) -> nn.Module:
        return Inheriting()


class Remembering(Saves):
    """Keeps the batch in the instance, where another thread finds it."""

    reads = writes = frozenset({"sentence_embedding"})
    is_thread_safe = True

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        self.embedding = features["sentence_embedding"]
        time.sleep(0.001)
        features["sentence_embedding"] = self.embedding * 2
        return features


class TestKeepsABatchInTheInstance(OfThisFile):
    def make_module(self) -> nn.Module:
        return Remembering()


class TestHasNoFactory(OfThisFile):
    pass
