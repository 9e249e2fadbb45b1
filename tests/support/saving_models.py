"""Causal models of which something is left out, and what they really compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_models import GOLDEN, load, save_tiny
from torch.utils._python_dispatch import TorchDispatchMode

from pairchain import CrossEncoder, Module
from pairchain_logit_score import LogitScore
from pairchain_transformer import Transformer

INSTRUCTION = "judge whether the document answers the query, and say yes or no"


QUERIES = [f"{INSTRUCTION} : how many people live in berlin ?", f"{INSTRUCTION} : which planet is red ?", "x"]


DOCUMENTS = ["berlin", "mars is red " * 9, "a", "the city had three million inhabitants in 2010", "yes " * 30]


PAIRS = [(query, document) for query in QUERIES for document in DOCUMENTS]


EXACT = {"rtol": 1e-5, "atol": 1e-6}


class LogitReader(Module):
    """Scores by the logits of a token, and says no more than it must."""

    def __init__(self, reads: frozenset[str] | None = None) -> None:
        super().__init__()
        self.reads = reads
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        self.shapes.append(tuple(features["causal_logits"].shape))
        features["scores"] = features["causal_logits"][:, -1, 7]
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        raise NotImplementedError


class Watched:
    """Counts what a model computes: tokens of its backbone, and positions of its head."""

    def __init__(self, model: CrossEncoder) -> None:
        self.tokens = 0
        self.head_shapes: list[tuple[int, ...]] = []
        inner = model[0].model
        inner.get_input_embeddings().register_forward_hook(self._count)
        if inner.get_output_embeddings() is not None:
            inner.get_output_embeddings().register_forward_hook(self._note)

    def _count(self, module: Any, given: Any, output: torch.Tensor) -> None:
        self.tokens += output.shape[0] * output.shape[1]

    def _note(self, module: Any, given: Any, output: torch.Tensor) -> None:
        self.head_shapes.append(tuple(output.shape))


class Widths(TorchDispatchMode):
    """Notes how wide what is computed is, without a hook in the model."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if isinstance(output, torch.Tensor) and output.is_floating_point() and output.ndim:
            self.seen.add(output.shape[-1])
        return output


def saving_model(path: Path = GOLDEN / "qwen3_causal_logitscore" / "model", **savings: bool | None) -> CrossEncoder:
    return set_savings(load(path), **{"unread": True, "prefixes": True, **savings})


def set_savings(model: CrossEncoder, *, unread: bool | None, prefixes: bool | None) -> CrossEncoder:
    model[0].savings.unread, model[0].savings.prefixes = unread, prefixes
    return model


def causal(folder: Path, kind: str, head: str = "ForCausalLM", **config: Any) -> CrossEncoder:
    transformer = Transformer(save_tiny(folder, kind, head, **config), transformer_task="text-generation")
    model = CrossEncoder(modules=[transformer, LogitScore(7, 9)], activation_fn=torch.nn.Identity(), device="cpu")
    return set_savings(model, unread=True, prefixes=True)


def plain_scores(model: CrossEncoder, pairs: list[tuple[str, str]] = PAIRS) -> np.ndarray[Any, Any]:
    """Return each pair's scores without anything left out."""
    kept = vars(model[0].savings).copy()
    set_savings(model, unread=False, prefixes=False)
    scores = model.predict(pairs)
    vars(model[0].savings).update(kept)
    return scores


def tokens_of(model: CrossEncoder, pairs: list[tuple[str, str]]) -> int:
    return sum(model.preprocess([pair])["input_ids"].shape[1] for pair in pairs)
