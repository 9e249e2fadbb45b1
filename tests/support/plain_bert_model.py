"""What the backend of `plain_bert` runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from plain_bert import PlainBertBackend
from safetensors.torch import save_file
from torch import nn

from pairchain.backends import Execution, Request


class PlainBert(nn.Module):
    """The weights of a BERT classifier under the names that they are saved by."""

    def __init__(self, config: Any, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.config = config
        self.weights = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(weights[name]) for name in weights})

    def named(self, name: str) -> torch.Tensor:
        return self.weights[name.replace(".", "/")]

    def linear(self, name: str, values: torch.Tensor) -> torch.Tensor:
        return F.linear(values, self.named(f"{name}.weight"), self.named(f"{name}.bias"))

    def normed(self, name: str, values: torch.Tensor) -> torch.Tensor:
        weight, bias = self.named(f"{name}.weight"), self.named(f"{name}.bias")
        return F.layer_norm(values, weight.shape, weight, bias, self.config.layer_norm_eps)

    def logits(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        tables = [
            self.named(f"bert.embeddings.{kind}_embeddings.weight") for kind in ("word", "position", "token_type")
        ]
        words, positions, kinds = tables
        hidden = self.normed("bert.embeddings.LayerNorm", words[ids] + positions[: ids.shape[1]] + kinds[types])
        seen = mask.bool()[:, None, None, :]
        for number in range(self.config.num_hidden_layers):
            layer = f"bert.encoder.layer.{number}"
            heads = [
                self.linear(f"{layer}.attention.self.{part}", hidden)
                .unflatten(-1, (self.config.num_attention_heads, -1))
                .transpose(1, 2)
                for part in ("query", "key", "value")
            ]
            mixed = F.scaled_dot_product_attention(*heads, attn_mask=seen).transpose(1, 2).flatten(2)
            mixed = self.linear(f"{layer}.attention.output.dense", mixed)
            hidden = self.normed(f"{layer}.attention.output.LayerNorm", mixed + hidden)
            inner = F.gelu(self.linear(f"{layer}.intermediate.dense", hidden))
            hidden = self.normed(f"{layer}.output.LayerNorm", self.linear(f"{layer}.output.dense", inner) + hidden)
        pooled = torch.tanh(self.linear("bert.pooler.dense", hidden[:, 0]))
        return self.linear("classifier", pooled)


class PlainBertExecution(Execution):
    """Runs a `PlainBert`."""

    def run(self, model: nn.Module, features: Mapping[str, Any], request: Request) -> dict[str, Any]:
        assert isinstance(model, PlainBert)
        ids = features["input_ids"]
        types = features.get("token_type_ids", torch.zeros_like(ids))
        return {request.feature: model.logits(ids, features["attention_mask"], types)}

    def save(self, model: nn.Module, folder: str) -> None:
        assert isinstance(model, PlainBert)
        weights = {name.replace("/", "."): tensor.detach() for name, tensor in model.weights.items()}
        save_file(weights, Path(folder, "model.safetensors"), {"format": "pt"})
        config = {**model.config.to_dict(), "architectures": ["BertForSequenceClassification"]}
        Path(folder, "config.json").write_text(json.dumps(config))


class EagerBackend(PlainBertBackend):
    """The same backend, in a module that imports torch."""
