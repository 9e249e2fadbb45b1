"""Input modules that are broken as those of authors are, each in its contract; run by test_testing.py, all to fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from pairchain import Encoded, InputModule
from pairchain.testing import InputModuleContract, ModuleContract


class Bytes(InputModule):
    """Embeds the bytes of a pair; this one is right."""

    config_keys = ["size"]
    saves_weights = True
    writes = frozenset({"token_embeddings", "attention_mask"})

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.size = size
        self.table = nn.Embedding(256, size)

    def rows(self, inputs: Sequence[Any], prompt: str | None) -> list[torch.Tensor]:
        texts = [f"{prompt or ''}{first}\n{second}" for first, second in inputs]
        return [torch.tensor(list(text.encode(errors="replace"))) for text in texts]

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        return self.padded(self.rows(inputs, prompt))

    def padded(self, rows: list[torch.Tensor]) -> dict[str, Any]:
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        return {"bytes": pad_sequence(rows, batch_first=True), "attention_mask": mask}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["token_embeddings"] = self.table(features["bytes"])
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)


class OfThisFile(InputModuleContract):
    is_plugin = False
    odd_pairs = (("", ""), ("\ud800", "x"))


class TestRight(OfThisFile):
    def make_module(self) -> nn.Module:
        return Bytes(6)


class PromptLost(Bytes):
    def rows(self, inputs: Sequence[Any], prompt: str | None) -> list[torch.Tensor]:
        return super().rows(inputs, None)


class TestLosesThePrompt(OfThisFile):
    def make_module(self) -> nn.Module:
        return PromptLost()


class SaysNone(Bytes):
    def rows(self, inputs: Sequence[Any], prompt: str | None) -> list[torch.Tensor]:
        return super().rows(inputs, str(prompt))


class TestPutsNoneBeforeEachPair(OfThisFile):
    def make_module(self) -> nn.Module:
        return SaysNone()


class Halfway(Bytes):
    def encode(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> list[Encoded]:
        return [Encoded(row, length=len(row)) for row in self.rows(inputs, prompt)]


class TestEncodesAndDoesNotCollate(OfThisFile):
    def make_module(self) -> nn.Module:
        return Halfway()


class Unmasked(Halfway):
    """Its fast path forgets which bytes are padding."""

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        rows = pad_sequence([item.values for item in items], batch_first=True)
        return {"bytes": rows, "attention_mask": torch.ones_like(rows)}


class TestCollatesOtherwiseThanItPreprocesses(OfThisFile):
    def make_module(self) -> nn.Module:
        return Unmasked()


class Limited(Halfway):
    """Takes a limit, but not on the fast path; and crashes where nothing is left."""

    max_seq_length = 500

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, limit: int | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        return self.padded([row[:limit] for row in self.rows(inputs, prompt)])

    def encode(self, inputs: Sequence[Any], prompt: str | None = None) -> list[Encoded]:  # type: ignore[override]
        if not all(first for first, _ in inputs):
            raise IndexError("no first text")
        return super().encode(inputs, prompt)

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        return self.padded([item.values for item in items])


class TestIgnoresItsLimitAndCrashesAtNothing(OfThisFile):
    def make_module(self) -> nn.Module:
        return Limited()


class Letters(Bytes):
    modalities = "text"  # type: ignore[assignment]


class TestNamesModalitiesWithAText(OfThisFile):
    def make_module(self) -> nn.Module:
        return Letters()


class TestIsTriedAsALaterModule(ModuleContract):
    is_plugin = False

    def make_module(self) -> nn.Module:
        return Bytes()
