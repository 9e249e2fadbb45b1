"""Routers whose routes tell by their scores which of them a pair took; they take any input and need no transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from letters import Difference, Letters
from PIL import Image
from torch import nn

from pairchain import CrossEncoder, Module
from pairchain.modules import Router

PICTURE = Image.new("RGB", (2, 2))
SOUND = np.zeros(4)
SAID = {"role": "user", "content": "hello"}


class Anything(Letters):
    """Takes what it is told to take, and counts 100 for whatever is no text."""

    def __init__(self, *modalities: Any) -> None:
        super().__init__()
        self.taken = list(modalities) or ["text", "image", "audio", "message"]

    @property
    def modalities(self) -> list[Any]:
        return self.taken

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        return super().preprocess([[self.text(side) for side in (*item, item)[:2]] for item in inputs], prompt)

    @staticmethod
    def text(side: Any) -> str:
        return side if isinstance(side, str) else "x" * 100


class Says(Module):
    """Scores every pair with one number, so that a score tells which route it took; counts how often it is told."""

    reads, writes, num_labels = frozenset(), frozenset({"scores"}), 1
    told = 0

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = torch.full((len(features["letters"]), 1), self.number)
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None: ...

    def on_model_ready(self, model: nn.Module) -> None:
        self.told += 1


class Scalable(Difference):
    """Has a keyword that reaches it only if its entry in modules.json asks for it."""

    def forward(self, features: dict[str, Any], scale: float = 1.0) -> dict[str, Any]:
        features = super().forward(features)
        features["scores"] = features["scores"] * scale
        return features


class Scaled(Scalable):
    """Takes a keyword of predict."""

    forward_kwargs = {"scale"}


class Fixed(Difference):
    """Takes no keyword, and would raise at one."""

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return super().forward(features)


CLASSES = {"my.Letters": Letters, "my.Difference": Difference, "my.Scaled": Scaled}
WHOLE: dict[str, Any] = {
    "types": {"in": "my.Letters", "plain": "my.Difference", "scaled": "my.Scaled"},
    "structure": {"a": ["in", "plain"], "b": ["in", "scaled"]},
    "parameters": {"default_route": "b", "allow_empty_key": True, "route_mappings": {"('t', None)": "a"}},
}


def routes(*names: str, **numbers: float) -> dict[str, list[nn.Module]]:
    """Return routes for anything; each scores every pair with its number, by default 0, 1, 2, …"""
    numbered = {**{name: float(number) for number, name in enumerate(names)}, **numbers}
    return {name: [Anything(), Says(number)] for name, number in numbered.items()}


def model_of(sub_modules: Any, *after: nn.Module, **options: Any) -> CrossEncoder:
    router = sub_modules if isinstance(sub_modules, Router) else Router(sub_modules, **options)
    return CrossEncoder(modules=[router, *after], activation_fn=nn.Identity(), device="cpu")


def letters_router(folder: Path, config: Any = WHOLE, name: str = "router_config.json") -> Path:
    """Write a model that is one Router, in a folder of its own, and needs no files but these."""
    (folder / "deep").mkdir(parents=True)
    modules = [{"name": "0", "path": "deep", "type": "Router"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    settings = {"model_type": "CrossEncoder", "activation_fn": "torch.nn.Identity"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    (folder / "deep" / name).write_text(config if isinstance(config, str) else json.dumps(config))
    return folder
