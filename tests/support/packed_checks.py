"""Checks of what packed models compute, for those that compute it in one way or in another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from packed_models import Both, batch, both, config_for, saved

from pairchain import Part
from pairchain.authoring import PrefixStore
from pairchain_packed.families import FAMILIES

LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
WITH_BIAS = {"attention_bias": True, "mlp_bias": True}

CASES: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in FAMILIES),
    ("electra", {"embedding_size": 16}),
    ("bert", {"hidden_act": "gelu_new", "type_vocab_size": 1, "layer_norm_eps": 1e-5}),
    ("roberta", {"type_vocab_size": 1, "pad_token_id": 2}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
    ("mistral", {"sliding_window": 4}),
    ("mistral", {"sliding_window": None, "num_key_value_heads": 4}),
    ("gemma2", {"sliding_window": 5, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 1.0}),
    ("gemma3_text", {"sliding_window": 5, "sliding_window_pattern": 2}),
    ("llama", {"rope_scaling": {**LLAMA_3, "original_max_position_embeddings": 16}, **WITH_BIAS}),
    ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}, "tie_word_embeddings": True}),
    ("modernbert", {"classifier_pooling": "mean", "norm_bias": True, **WITH_BIAS}),
    ("qwen3", {"attention_bias": True, "tie_word_embeddings": True}),
]
TOLERANCE = 1e-5


def tasks() -> list[Any]:
    """A test for each case and task."""
    return [
        pytest.param(kind, given, task, id=f"{kind}-{task[:7]}-{'-'.join(given) or 'plain'}")
        for kind, given in CASES
        for task in FAMILIES[kind].heads
    ]


def check_equal(models: Both, features: dict[str, torch.Tensor]) -> None:
    """Compare the whole output, and the parts that chains read."""
    expected = models.expected(features)
    if models.task == "sequence-classification":
        torch.testing.assert_close(models.found(features), expected, atol=TOLERANCE, rtol=1e-5)
        return
    mask = features["attention_mask"].bool()
    torch.testing.assert_close(models.found(features)[mask], expected[mask], atol=TOLERANCE, rtol=1e-5)
    places = {"first": mask.int().argmax(1), "last": (mask.cumsum(1) * mask).argmax(1)}
    for position in ("first", "last"):
        read = expected[torch.arange(len(mask)), places[position]][:, [7, 2]]
        found = models.found(features, Part(position, (7, 2)))  # type: ignore[arg-type]
        torch.testing.assert_close(found, read, atol=TOLERANCE, rtol=1e-5)


def check_shared_beginnings(kind: str, folder: Path) -> None:
    """Compare scores after a shared beginning with those of whole inputs, and with those after a change."""
    saved(folder, config_for(kind, sliding_window=5), "text-generation")
    models = both(folder, "text-generation")
    start = batch([20])["input_ids"][0]
    rows = [torch.cat([start, batch([length])["input_ids"][0]]) for length in (1, 5, 5, 9)]
    made = [
        SimpleNamespace(
            tensors={"input_ids": row, "attention_mask": torch.ones_like(row)}, shared={"logits_to_keep": 1}
        )
        for row in rows
    ]
    features: dict[str, Any] = {
        "input_ids": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side="left"),
        "attention_mask": torch.nn.utils.rnn.pad_sequence(
            [row.tensors["attention_mask"] for row in made], batch_first=True, padding_side="left"
        ),
    }
    expected = models.expected(features)[:, -1][:, [3, 8]]
    request = models.request(Part("last", (3, 8)))
    models.execution.store = PrefixStore(most_bytes=10**6)
    part = models.ours.layers[0].attention.inputs  # type: ignore[index]
    for change in ("nothing", "values", "parameter"):
        if change == "values":
            part.weight.data.add_(torch.randn_like(part.weight))
        if change == "parameter":
            part.weight = torch.nn.Parameter(part.weight.detach() + torch.randn_like(part.weight))
        with torch.inference_mode():
            prefix = models.execution.prefixes(models.ours, request, made)[0]
            assert prefix is not None
            assert len(prefix.tokens) == 20
            features["logits_to_keep"] = 1
            (found,) = models.execution.run(models.ours, features, replace(request, prefix=prefix)).values()
            (alone,) = models.execution.run(models.ours, features, request).values()
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
        if change == "nothing":
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
