"""What nobody reads is not computed: padding, and rows of a head; and who reads it gets it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from saving_models import (
    DOCUMENTS,
    EXACT,
    PAIRS,
    QUERIES,
    LogitReader,
    Watched,
    Widths,
    plain_scores,
    saving_model,
    set_savings,
    tokens_of,
)
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder
from pairchain_logit_score import LogitScore
from pairchain_pooling import Pooling
from pairchain_transformer import Transformer


def test_of_the_head_only_the_rows_that_are_read_are_computed() -> None:
    model = saving_model()
    expected = plain_scores(model)
    model.predict(PAIRS[:1])  # which asks the model once what it allows

    with Widths() as widths:
        scores = model.predict(PAIRS)

    assert 2 in widths.seen
    assert 400 not in widths.seen
    np.testing.assert_allclose(scores, expected, **EXACT)


def test_a_hook_on_the_head_is_called_with_the_last_position_of_each_input() -> None:
    model = saving_model()
    expected = plain_scores(model)
    model.predict(PAIRS)
    watched = Watched(model)

    scores = model.predict(PAIRS)

    assert {shape[1:] for shape in watched.head_shapes} == {(1, 400)}
    assert sum(shape[0] for shape in watched.head_shapes) == len(PAIRS)
    assert watched.tokens < tokens_of(model, PAIRS)
    np.testing.assert_allclose(scores, expected, **EXACT)


@pytest.mark.parametrize("reads", [None, frozenset({"causal_logits"})], ids=["says nothing", "says no part"])
def test_a_module_that_reads_the_logits_gets_all_of_them(reads: frozenset[str] | None) -> None:
    reader = LogitReader(reads)
    model = CrossEncoder(modules=[saving_model()[0], reader], activation_fn=torch.nn.Identity(), device="cpu")

    scores = model.predict(PAIRS)

    assert all(shape[1:] == (1, 400) for shape in reader.shapes)
    np.testing.assert_allclose(scores, plain_scores(model), **EXACT)


def test_a_subclass_does_not_speak_for_a_forward_that_it_replaces() -> None:
    class Cooler(LogitScore):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            features["causal_logits"] = features["causal_logits"] / 2
            return super().forward(features)

    head = Cooler(7, 9)
    model = CrossEncoder(modules=[saving_model()[0], head], activation_fn=torch.nn.Identity(), device="cpu")

    expected = CrossEncoder(modules=[model[0], LogitScore(7, 9)], activation_fn=torch.nn.Identity(), device="cpu")
    np.testing.assert_allclose(model.predict(PAIRS), expected.predict(PAIRS) / 2, **EXACT)


def test_a_hook_on_a_reader_sees_all_of_the_logits() -> None:
    model = saving_model()
    seen = []
    model[1].register_forward_pre_hook(lambda module, given: seen.append(given[0]["causal_logits"].shape))

    model.predict(PAIRS)

    assert all(shape[1:] == (1, 400) for shape in seen)


def test_two_modules_that_read_other_rows_get_all_of_them() -> None:
    second = LogitScore(11, 12)
    model = CrossEncoder(modules=[saving_model()[0], LogitScore(7, 9), second], device="cpu")
    watched = Watched(model)

    scores = model.predict(PAIRS)

    assert {shape[-1] for shape in watched.head_shapes} == {400}
    np.testing.assert_allclose(scores, plain_scores(model), **EXACT)


def test_a_hook_on_the_module_sees_all_of_the_logits() -> None:
    model = saving_model()
    seen = []
    model[0].register_forward_hook(lambda module, given, output: seen.append(output["causal_logits"].shape))

    model.predict(PAIRS)

    assert all(shape[1:] == (1, 400) for shape in seen)


def test_a_hook_on_the_chain_sees_all_of_the_logits() -> None:
    model = saving_model()
    seen = []
    model.register_forward_hook(lambda chain, given, output: seen.append(output["causal_logits"].shape))

    model.predict(PAIRS)

    assert all(shape[1:] == (1, 400) for shape in seen)


def test_who_calls_the_chain_gets_all_of_the_logits() -> None:
    model = saving_model()

    with torch.inference_mode():
        features = model(model.preprocess(PAIRS))

    assert features["causal_logits"].shape == (len(PAIRS), 1, 400)
    assert features["input_ids"].shape == features["attention_mask"].shape


def test_a_subclass_with_a_forward_of_its_own_gets_all_of_the_logits() -> None:
    class Doubled(Transformer):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            features = super().forward(features, **kwargs)
            features["causal_logits"] = features["causal_logits"] * 2
            return features

    path = GOLDEN / "qwen3_causal_logitscore" / "model"
    model = CrossEncoder(modules=[Doubled(str(path), transformer_task="text-generation"), LogitScore(7, 9)])
    single = CrossEncoder(modules=[Transformer(str(path), transformer_task="text-generation"), LogitScore(7, 9)])
    model.activation_fn = single.activation_fn = torch.nn.Identity()

    np.testing.assert_allclose(model.predict(PAIRS), 2 * single.predict(PAIRS), **EXACT)


def test_more_positions_of_the_head_are_computed_for_who_asks_for_them() -> None:
    model = saving_model()
    model.predict(PAIRS)
    watched = Watched(model)

    scores = model.predict(PAIRS, processing_kwargs={"text": {"logits_to_keep": 3}})

    assert {shape[1] for shape in watched.head_shapes} == {3}
    np.testing.assert_allclose(scores, plain_scores(model), **EXACT)


def test_tokens_beyond_the_vocabulary_are_refused_as_ever() -> None:
    model = saving_model()
    model[1].true_token_id = 400

    with pytest.raises(ValueError, match="LogitScore reads the token 400"):
        model.predict(PAIRS)


def test_the_last_token_of_a_causal_model_is_pooled_without_the_others() -> None:
    model = saving_model(GOLDEN / "qwen3_feature_lasttoken_dense" / "model")
    expected = plain_scores(model)
    model.predict(PAIRS)
    watched = Watched(model)

    scores = model.predict(PAIRS)

    assert watched.tokens < tokens_of(model, PAIRS)
    np.testing.assert_allclose(scores, expected, **EXACT)


def test_the_first_token_is_pooled_as_before() -> None:
    model = load(GOLDEN / "pooling_cls" / "model")
    assert isinstance(model[1], Pooling)

    np.testing.assert_allclose(model.predict(PAIRS), [model.predict(pair) for pair in PAIRS], **EXACT)


@cache
def model_of(case: str) -> CrossEncoder:
    return load(GOLDEN / case / "model")


texts = st.sampled_from([*QUERIES, *DOCUMENTS]) | st.text("abc yes no ?", max_size=60)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["qwen3_causal_logitscore", "qwen3_feature_lasttoken_dense", "bert_seqcls_1label"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    pairs=st.lists(st.tuples(texts, texts.filter(str.strip)), min_size=1, max_size=12),
    tokens=st.integers(1, 2000),
    unread=st.sampled_from([None, True, False]),
    prefixes=st.sampled_from([None, True, False]),
    cached=st.sampled_from([0, 30_000, 2**20]),
)
def test_a_pair_gets_its_own_score_whatever_is_left_out(
    case: str,
    pairs: list[tuple[str, str]],
    tokens: int,
    unread: bool | None,
    prefixes: bool | None,
    cached: int,
) -> None:
    model = model_of(case)
    alone = [plain_scores(model, [pair])[0] for pair in pairs]
    set_savings(model, unread=unread, prefixes=prefixes)
    model.tokens_per_batch, model.prefix_cache = tokens, cached

    np.testing.assert_allclose(model.predict(pairs), alone, **EXACT)
