"""What a causal model need not compute: padding, rows of its head that nobody reads, and twice what inputs share."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import GOLDEN, load, save_tiny
from torch.utils.flop_counter import FlopCounterMode

from pairchain import CrossEncoder, Module
from pairchain.errors import InputError
from pairchain_dense import Dense
from pairchain_logit_score import LogitScore
from pairchain_pooling import Pooling
from pairchain_transformer import Transformer

INSTRUCTION = "judge whether the document answers the query, and say yes or no"
QUERIES = [f"{INSTRUCTION} : how many people live in berlin ?", f"{INSTRUCTION} : which planet is red ?", "x"]
DOCUMENTS = ["berlin", "mars is red " * 9, "a", "the city had three million inhabitants in 2010", "yes " * 30]
PAIRS = [(query, document) for query in QUERIES for document in DOCUMENTS]
EXACT = {"rtol": 1e-5, "atol": 1e-6}


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


def test_of_the_head_only_the_rows_that_are_read_are_computed() -> None:
    model = saving_model()
    expected = plain_scores(model)
    model.predict(PAIRS[:1])  # which asks the model once what it allows
    watched = Watched(model)

    scores = model.predict(PAIRS)

    assert watched.head_shapes == []
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

    assert {shape[1:] for shape in watched.head_shapes} >= {(400,)}
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


def test_what_inputs_share_is_computed_once() -> None:
    model = saving_model()
    pairs = [(QUERIES[0], document) for document in DOCUMENTS]
    expected = plain_scores(model, pairs)
    model.predict(pairs)
    watched = Watched(model)

    scores = model.predict(pairs)

    assert watched.tokens < tokens_of(model, pairs) / 1.5
    np.testing.assert_allclose(scores, expected, **EXACT)


def test_documents_of_one_query_share_more_than_those_of_all() -> None:
    model = saving_model()
    apart, together = [
        (set_savings(load(GOLDEN / "qwen3_causal_logitscore" / "model"), unread=True, prefixes=on))
        for on in (False, True)
    ]
    tokens = []
    for each in (apart, together):
        each.predict(PAIRS)
        watched = Watched(each)
        each.rank_many(QUERIES, [DOCUMENTS] * len(QUERIES))
        tokens.append(watched.tokens)

    assert tokens[1] < tokens[0] / 1.5
    np.testing.assert_allclose(together.predict(PAIRS), plain_scores(model), **EXACT)


def test_a_prefix_cache_keeps_the_instruction_for_the_next_call() -> None:
    model = saving_model()
    model.prefix_cache = 2**20
    model.predict([(QUERIES[0], DOCUMENTS[0])])
    watched = Watched(model)

    scores = model.predict([(QUERIES[1], DOCUMENTS[1])])

    (row,) = model.preprocess([(QUERIES[1], DOCUMENTS[1])])["input_ids"]
    assert watched.tokens < len(row)
    np.testing.assert_allclose(scores, plain_scores(model, [(QUERIES[1], DOCUMENTS[1])]), **EXACT)


def test_nothing_is_kept_from_one_call_to_the_next_unless_it_is_asked_for() -> None:
    model = saving_model()
    counted = []
    model.predict(PAIRS)
    watched = Watched(model)
    for _ in range(2):
        watched.tokens = 0
        model.predict(PAIRS)
        counted.append(watched.tokens)

    assert counted[0] == counted[1]
    assert model.prefix_cache == 0


def test_a_prefix_cache_never_holds_more_than_it_may() -> None:
    model = saving_model()
    model.prefix_cache = 40_000

    for query in QUERIES:
        model.predict([(query + f" {number}", "x") for number in range(4)])
        assert 0 < model[0].savings.store.size <= 40_000


@pytest.mark.parametrize("change", ["weights", "dtype"])
def test_a_prefix_cache_knows_when_the_model_has_changed(change: str) -> None:
    model = saving_model()
    model.prefix_cache = 2**20
    model.predict(PAIRS)

    if change == "dtype":
        model.to(torch.float64)
    else:
        with torch.no_grad():
            model[0].model.get_input_embeddings().weight.mul_(1.5)

    np.testing.assert_allclose(model.predict(PAIRS), plain_scores(model), **EXACT)


def test_a_prefix_cache_is_for_modules_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="prefix_cache must be a positive integer"):
        CrossEncoder(GOLDEN / "qwen3_causal_logitscore" / "model", prefix_cache=-1)
    assert CrossEncoder(GOLDEN / "qwen3_causal_logitscore" / "model", prefix_cache=1000).prefix_cache == 1000


def test_a_copy_of_a_model_begins_with_an_empty_cache() -> None:
    model = saving_model()
    model.prefix_cache = 2**20
    expected = model.predict(PAIRS)

    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert copied.prefix_cache == 2**20
        assert copied[0].savings.store.size == 0
        np.testing.assert_allclose(copied.predict(PAIRS), expected, **EXACT)


OFF: dict[str, Callable[[Path], CrossEncoder]] = {
    "a sliding window": lambda folder: causal(folder, "mistral", sliding_window=8),
    "layers that see both ways": lambda folder: causal(folder, "gemma", use_bidirectional_attention=True),
    "padding that counts as positions": lambda folder: causal(folder, "gpt2", "LMHeadModel"),
    "logits that are capped": lambda folder: causal(
        folder, "gemma2", layer_types=["full_attention"], final_logit_softcapping=0.1
    ),
    "a state instead of keys and values": lambda folder: causal(folder, "mamba"),
}


@pytest.mark.parametrize("reason", OFF)
def test_no_prefix_is_shared_where_that_is_not_exact(reason: str, tmp_path: Path) -> None:
    model = OFF[reason](tmp_path)
    pairs = [(QUERIES[0], document) for document in DOCUMENTS]
    expected = plain_scores(model, pairs)
    watched = Watched(model)

    scores = model.predict(pairs)

    assert watched.tokens >= tokens_of(model, pairs)
    np.testing.assert_allclose(scores, expected, **EXACT)


def test_no_prefix_is_shared_by_a_model_of_images() -> None:
    model = load(GOLDEN / "vlm_llava" / "model")
    set_savings(model, unread=True, prefixes=True)
    pairs = [(QUERIES[0], document) for document in DOCUMENTS]
    expected = plain_scores(model, pairs)
    watched = Watched(model)

    scores = model.predict(pairs)

    assert watched.tokens >= tokens_of(model, pairs)
    np.testing.assert_allclose(scores, expected, **EXACT)


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


def flops(model: CrossEncoder, pairs: list[tuple[str, str]]) -> int:
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
