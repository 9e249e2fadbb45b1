"""Every family and task of the backend packed computes what the library's own class computes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_checks import check_equal, tasks
from packed_models import batch, both, checkpoint_in, config_for, saved

from pairchain_packed.backend import PackedBackend
from pairchain_packed.families import FAMILIES
from pairchain_packed.parameters import parameters

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kind", "given", "task"), tasks())
def test_outputs_are_those_of_the_library(kind: str, given: dict[str, Any], task: str, tmp_path: Path) -> None:
    saved(tmp_path, config_for(kind, **given), task)
    models = both(tmp_path, task)
    has_types = models.ours.plan.embedding.types > 1
    check_equal(models, batch([9, 40, 1, 9, 17], types=has_types))
    check_equal(models, batch([12, 12], types=has_types))
    if not models.ours.plan.embedding.positions and models.ours.head.plan.reads != "first":
        check_equal(models, batch([9, 40, 1, 9, 17], pads_left=True))


@pytest.mark.parametrize(("kind", "given", "task"), tasks())
def test_parameters_are_those_that_are_looked_for(kind: str, given: dict[str, Any], task: str, tmp_path: Path) -> None:
    saved(tmp_path, config_for(kind, **given), task)
    ours, _ = PackedBackend().load(checkpoint_in(tmp_path, task))
    shapes = {
        name: (sum(part[0] for part in parts), *parts[0][1:])
        for name, parts in parameters(ours.plan, ours.head.plan)  # type: ignore[arg-type, union-attr]
    }
    assert {name: tuple(value.shape) for name, value in ours.named_parameters()} == shapes


# values that tables know, and values that they do not
SETTINGS: dict[str, list[Any]] = {
    "hidden_act": ["gelu", "relu", "silu", "gelu_new", "gelu_pytorch_tanh", "mish", "quick_gelu"],
    "hidden_activation": ["gelu", "gelu_pytorch_tanh", "silu"],
    "num_key_value_heads": [1, 2, 4],
    "head_dim": [4, 8, 10],
    "sliding_window": [None, 1, 2, 7],
    "use_sliding_window": [True, False],
    "max_window_layers": [0, 1, 2, 5],
    "attention_bias": [True, False],
    "mlp_bias": [True, False],
    "norm_bias": [True, False],
    "type_vocab_size": [1, 2, 3],
    "embedding_size": [16, 32],
    "tie_word_embeddings": [True, False],
    "is_decoder": [True, False],
    "pad_token_id": [0, 1, 5],
    "rope_theta": [100.0, 10_000.0],
    "rope_scaling": [
        None,
        {"rope_type": "linear", "factor": 3.0},
        {"rope_type": "dynamic", "factor": 2.0},
        {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16},
    ],
    "global_attn_every_n_layers": [1, 2, 3],
    "local_attention": [2, 6],
    "classifier_pooling": ["cls", "mean"],
    "classifier_activation": ["gelu", "relu"],
    "final_logit_softcapping": [None, 3.0],
    "attn_logit_softcapping": [None, 3.0],
    "query_pre_attn_scalar": [4, 64],
    "layer_types": [["full_attention", "sliding_attention", "full_attention"]],
    "use_bidirectional_attention": [True, False],
    "num_hidden_layers": [1, 2],
    "chunk_size_feed_forward": [0, 2],
    "reduction": ["strange"],
}


@st.composite
def configs(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    kind = draw(st.sampled_from(sorted(FAMILIES)))
    names = draw(st.lists(st.sampled_from(sorted(SETTINGS)), max_size=4, unique=True))
    chosen = {name: draw(st.sampled_from(SETTINGS[name])) for name in names}
    return kind, draw(st.sampled_from(sorted(FAMILIES[kind].heads))), chosen


def check_config(kind: str, task: str, given: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as place:
        try:
            saved(Path(place), config_for(kind, **given), task)
        except Exception:  # the library refuses many combinations, each in its own way
            return
        if PackedBackend().supports(checkpoint_in(Path(place), task)):
            # the library's classifiers find the last token by the padding that the configuration names
            features = batch([3, 1, 30, 30], padding=given.get("pad_token_id", 0))
            models = both(Path(place), task)
            try:
                models.expected(features)
            except Exception:  # some combinations fail only when the library runs them
                return
            check_equal(models, features)


@given(configs())
@settings(max_examples=25)
def test_other_settings_are_computed_alike_or_refused(case: tuple[str, str, dict[str, Any]]) -> None:
    check_config(*case)


@pytest.mark.slow
@given(configs())
@settings(max_examples=150)
def test_many_other_settings_are_computed_alike_or_refused(case: tuple[str, str, dict[str, Any]]) -> None:
    check_config(*case)
