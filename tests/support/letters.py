"""A chain that needs no transformers: its input module counts letters, so that every score can be said in advance."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pairchain import CrossEncoder, InputModule, Module

PAIRS = [("a", "bbbb"), ("aaa", "b"), ("aa", "bb"), ("", "bbb")]


class Letters(InputModule):
    """Writes ``letters``: how many each text of a pair has, the prompt's included; shape (pairs, 2)."""

    config_file_name = "letters.json"
    reads = frozenset()
    writes = frozenset({"letters"})

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        prompt = prompt or ""
        return {"letters": torch.tensor([[len(prompt + first), len(second)] for first, second in inputs]).float()}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.save_config(output_path)


class Difference(Module):
    """Scores a pair by how many letters more its first text has; shape (pairs, 1)."""

    reads = frozenset({"letters"})
    writes = frozenset({"scores"})
    num_labels = 1

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        letters = features["letters"]
        features["scores"] = letters[:, :1] - letters[:, 1:]
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.save_config(output_path)


class Head(Module):
    """Writes whatever a function makes of ``letters`` as the scores, and declares nothing."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = self.function(features["letters"])
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.save_config(output_path)


def letters_model(head: Callable[[torch.Tensor], Any] | nn.Module | None = None, **options: Any) -> CrossEncoder:
    """Return a chain of `Letters` and a head that ends in the raw scores, unless ``activation_fn`` is given."""
    module = head if isinstance(head, nn.Module) else Difference() if head is None else Head(head)
    return CrossEncoder(modules=[Letters(), module], **{"activation_fn": nn.Identity(), **options})


def save_letters(folder: Path, *, kwargs: Sequence[str] = (), **settings: Any) -> Path:
    """Write `Letters` and `Difference` as a saved model, with ``settings`` in its configuration, and return its folder.

    Args:
        folder: Where to; made if it is not there.
        kwargs: Keyword arguments that ``modules.json`` sends to `Difference`.
    """
    folder.mkdir(exist_ok=True)
    entries = [
        {"idx": 0, "name": "0", "path": "", "type": "letters.Letters"},
        {"idx": 1, "name": "1", "path": "1_Difference", "type": "letters.Difference", "kwargs": list(kwargs)},
    ]
    (folder / "modules.json").write_text(json.dumps(entries))
    settings = {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None, **settings}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


def load_letters(folder: Path, **options: Any) -> CrossEncoder:
    """Return the model that `save_letters` wrote."""
    classes = {"letters.Letters": Letters, "letters.Difference": Difference}
    return CrossEncoder(folder, **{"module_classes": classes, **options})
