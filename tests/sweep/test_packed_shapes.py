"""Packed execution at the shapes of real models, with few layers: scores equal the library's for all lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from packed_models import batch, both, config_for, saved

MINILM = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512}
BASE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 514}
MODERN = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 1152, "local_attention": 128}
QWEN = {"hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128}
GEMMA = {"hidden_size": 640, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256}


@pytest.mark.parametrize(
    ("kind", "shape", "longest"),
    [
        ("bert", MINILM, 512),
        ("xlm-roberta", BASE, 512),
        ("electra", {**BASE, "embedding_size": 128}, 512),
        ("modernbert", {**MODERN, "max_position_embeddings": 1024}, 1024),
        ("qwen3", {**QWEN, "intermediate_size": 3072, "max_position_embeddings": 1024}, 1024),
        ("gemma3_text", {**GEMMA, "intermediate_size": 2048, "sliding_window": 512}, 1024),
    ],
)
def test_scores_at_real_shapes_are_those_of_the_library(
    kind: str, shape: dict[str, Any], longest: int, tmp_path: Path
) -> None:
    config = config_for(kind, **shape)
    saved(tmp_path, config, "sequence-classification")
    models = both(tmp_path, "sequence-classification")
    # weights as large as the tests' would make every score depend on rounding
    scale = {name: value * (0.1 if value.ndim > 1 else 1.0) for name, value in models.theirs.state_dict().items()}
    models.theirs.load_state_dict(scale)
    models.ours.load_state_dict(scale)
    for lengths in ([longest, 1], [64, 63, 2, 300], list(range(1, 40))):
        features = batch(lengths)
        expected, found = models.expected(features), models.found(features)
        assert (expected - found).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    assert torch.isfinite(expected).all()
