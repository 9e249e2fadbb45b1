"""Tiny models of the architectures that the backend packed knows, saved by the transformers library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from pairchain import Part
from pairchain.authoring import open_source
from pairchain.backends import Checkpoint, Request
from pairchain_packed.backend import PackedBackend
from pairchain_packed.execution import PackedExecution
from pairchain_packed.model import PackedModel

CLASSES = {
    "sequence-classification": AutoModelForSequenceClassification,
    "feature-extraction": AutoModel,
    "text-generation": AutoModelForCausalLM,
}
DECODERS = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"})
VOCABULARY = 61

_SMALL = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
_SMALL |= {"intermediate_size": 40, "max_position_embeddings": 48}


def config_for(kind: str, **settings: Any) -> Any:
    """Return the configuration of a tiny model."""
    if kind == "distilbert":
        own = {"vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 40}
        return AutoConfig.for_model(kind, **{**own, "max_position_embeddings": 48, **settings})
    small: dict[str, Any] = dict(_SMALL)
    if kind in DECODERS:
        small |= {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}
    if kind == "modernbert":
        tokens = ("pad", "bos", "eos", "cls", "sep")
        small |= {f"{name}_token_id": number for number, name in enumerate(tokens)}
        small |= {"global_attn_every_n_layers": 2, "local_attention": 8}
    return AutoConfig.for_model(kind, **{**small, **settings})


@dataclass
class Both:
    """A model as the library and the backend packed load it."""

    folder: Path
    task: str
    theirs: PreTrainedModel
    ours: PackedModel
    execution: PackedExecution

    def request(self, part: Part | None = None) -> Request:
        """A request for the output of the task, or a part of it."""
        field = "last_hidden_state" if self.task == "feature-extraction" else "logits"
        return Request("forward", [field], "x", part, self.task == "text-generation", may_leave_out=True)

    def expected(self, features: Mapping[str, Any]) -> torch.Tensor:
        """The library's output."""
        with torch.inference_mode():
            # as Transformer sets it, because scoring reads no cache
            self.theirs.config.use_cache = False
            output: torch.Tensor = getattr(self.theirs(**features), self.request().path[0])
        return output

    def found(self, features: Mapping[str, Any], part: Part | None = None) -> torch.Tensor:
        """The packed model's output, or a part of it."""
        request = self.request(part)
        with torch.inference_mode():
            assert not (why := self.execution.declines(self.ours, features, request)), why
            (output,) = self.execution.run(self.ours, features, request).values()
        return output


def saved(folder: Path, config: Any, task: str, labels: int = 3) -> PreTrainedModel:
    """Save a tiny model with random weights, all of which differ from their initial values."""
    torch.manual_seed(0)
    if task == "sequence-classification":
        config.num_labels = labels
    model: PreTrainedModel = CLASSES[task].from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    return model


def checkpoint_in(folder: Path, task: str, **model_kwargs: Any) -> Checkpoint:
    """The checkpoint in a folder."""
    config = json.loads((folder / "config.json").read_text())
    return Checkpoint(open_source(str(folder)), task, config, model_kwargs)


def both(folder: Path, task: str, **model_kwargs: Any) -> Both:
    """Load the checkpoint in a folder with both."""
    checkpoint = checkpoint_in(folder, task, **model_kwargs)
    support = PackedBackend().supports(checkpoint)
    assert support, support.reason
    ours, execution = PackedBackend().load(checkpoint)
    assert isinstance(ours, PackedModel)
    assert isinstance(execution, PackedExecution)
    return Both(folder, task, CLASSES[task].from_pretrained(folder, **model_kwargs).eval(), ours, execution)


def batch(
    lengths: Sequence[int], *, pads_left: bool = False, types: bool = False, padding: int = 0
) -> dict[str, torch.Tensor]:
    """Return features of random tokens, padded to the longest of ``lengths`` with the token ``padding``."""
    longest = max(lengths)
    ids = torch.full((len(lengths), longest), padding)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        place = slice(longest - length, longest) if pads_left else slice(0, length)
        ids[row, place] = torch.randint(3, VOCABULARY, (length,))
        mask[row, place] = 1
    features = {"input_ids": ids, "attention_mask": mask}
    return {**features, "token_type_ids": (torch.rand(ids.shape) < 0.5).long() * mask} if types else features
