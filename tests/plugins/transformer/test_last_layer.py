"""The last layer is computed for the one position that is read, where a model allows it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from saving_models import (
    EXACT,
    PAIRS,
    plain_scores,
    set_savings,
)
from tiny_models import save_tiny
from torch.utils.flop_counter import FlopCounterMode

from pairchain import CrossEncoder
from pairchain_dense import Dense
from pairchain_pooling import Pooling
from pairchain_transformer import Transformer


def flops(model: CrossEncoder, pairs: list[tuple[str, str]]) -> int:
    # the counter does not know oneDNN's operations
    model[0].execution.onednn = False
    with FlopCounterMode(display=False) as counted:
        model.predict(pairs)
    return counted.get_total_flops()


@pytest.mark.parametrize(
    ("kind", "head"), [("bert", "ForSequenceClassification"), ("roberta", "ForSequenceClassification")]
)
def test_a_classifier_computes_its_last_layer_for_the_position_that_its_head_reads(
    kind: str, head: str, tmp_path: Path
) -> None:
    model = CrossEncoder(save_tiny(tmp_path, kind, head, num_hidden_layers=2, num_labels=1), device="cpu")
    set_savings(model, unread=True, prefixes=True)
    expected = plain_scores(model)
    scores = model.predict(PAIRS)
    sparing = flops(model, PAIRS)
    set_savings(model, unread=False, prefixes=False)

    assert sparing < 0.8 * flops(model, PAIRS)
    np.testing.assert_allclose(scores, expected, **EXACT)


@pytest.mark.parametrize("mode", ["cls", "mean"])
def test_a_pooling_of_the_first_token_spares_the_last_layer_and_one_of_all_does_not(mode: str, tmp_path: Path) -> None:
    transformer = Transformer(save_tiny(tmp_path, "bert", num_hidden_layers=2), transformer_task="feature-extraction")
    head = Dense(16, 1, module_output_name="scores", activation_function=torch.nn.Identity())
    model = CrossEncoder(modules=[transformer, Pooling(16, mode), head], device="cpu")
    set_savings(model, unread=True, prefixes=True)
    expected = plain_scores(model)
    scores = model.predict(PAIRS)
    sparing = flops(model, PAIRS)
    set_savings(model, unread=False, prefixes=False)

    assert (sparing < 0.8 * flops(model, PAIRS)) == (mode == "cls")
    np.testing.assert_allclose(scores, expected, **EXACT)


def test_who_looks_into_the_model_sees_all_positions(tmp_path: Path) -> None:
    model = CrossEncoder(
        save_tiny(tmp_path, "bert", "ForSequenceClassification", num_hidden_layers=2, num_labels=1), device="cpu"
    )
    set_savings(model, unread=True, prefixes=True)
    model.predict(PAIRS)
    seen: list[tuple[int, ...]] = []
    layer = model[0].model.bert.encoder.layer[-1]
    layer.register_forward_hook(lambda module, given, output: seen.append(output.shape))

    features = model.preprocess(PAIRS)
    model.predict(PAIRS)

    assert max(shape[1] for shape in seen) == features["input_ids"].shape[1]


def test_a_copy_of_a_model_finds_out_for_itself(tmp_path: Path) -> None:
    model = CrossEncoder(
        save_tiny(tmp_path, "bert", "ForSequenceClassification", num_hidden_layers=2, num_labels=1), device="cpu"
    )
    set_savings(model, unread=True, prefixes=True)
    expected = model.predict(PAIRS)

    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_allclose(copied.predict(PAIRS), expected, **EXACT)
