"""What inputs share at their beginning is computed once, where that is exact, and kept if that is asked for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from saving_models import (
    DOCUMENTS,
    EXACT,
    PAIRS,
    QUERIES,
    Watched,
    causal,
    plain_scores,
    saving_model,
    set_savings,
    tokens_of,
)
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain_router import Router


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
    watched = Watched(model)
    model.predict([(QUERIES[0], DOCUMENTS[0])])
    watched.tokens = 0

    scores = model.predict([(QUERIES[1], DOCUMENTS[1])])

    (row,) = model.preprocess([(QUERIES[1], DOCUMENTS[1])])["input_ids"]
    assert watched.tokens < len(row)
    np.testing.assert_allclose(scores, plain_scores(model, [(QUERIES[1], DOCUMENTS[1])]), **EXACT)


def test_a_prefix_cache_keeps_something_from_the_first_pair_on() -> None:
    model = saving_model()
    set_savings(model, unread=None, prefixes=None)
    model.prefix_cache = 2**20
    model.predict([(QUERIES[0], DOCUMENTS[0])])

    assert model[0].savings.store.size > 0


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
        folder, "gemma2", layer_types=["full_attention"], final_logit_softcapping=30.0
    ),
    "positions that depend on the length": lambda folder: causal(
        folder, "llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    ),
    "a state instead of keys and values": lambda folder: causal(folder, "mamba"),
}


def assert_no_prefix_is_shared(model: CrossEncoder) -> None:
    pairs = [(QUERIES[0], document) for document in DOCUMENTS]
    expected = plain_scores(model, pairs)
    model.predict(pairs)  # which asks the model once what it allows
    watched = Watched(model)

    scores = model.predict(pairs)

    assert watched.tokens >= tokens_of(model, pairs)
    np.testing.assert_allclose(scores, expected, **EXACT)


@pytest.mark.parametrize("reason", OFF)
def test_no_prefix_is_shared_where_that_is_not_exact(reason: str, tmp_path: Path) -> None:
    assert_no_prefix_is_shared(OFF[reason](tmp_path))


def test_no_prefix_is_shared_by_a_model_of_images() -> None:
    model = load(GOLDEN / "vlm_llava" / "model")
    set_savings(model, unread=True, prefixes=True)
    assert_no_prefix_is_shared(model)


def test_a_router_hands_a_prefix_cache_to_its_routes() -> None:
    reranker = saving_model()
    router = Router({"all": [reranker[0]]}, default_route="all")
    model = CrossEncoder(modules=[router, reranker[1]], activation_fn=torch.nn.Identity(), prefix_cache=2**20)
    model.predict([(QUERIES[0], DOCUMENTS[0])])

    assert model.prefix_cache == reranker.prefix_cache == 2**20
