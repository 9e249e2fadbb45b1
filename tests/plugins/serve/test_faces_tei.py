"""The API of text-embeddings-inference: what its clients send, and what they read."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from serve_faces import FACTS, NLI, answered, asked, viewed

from pairchain_serve.ask import Refusal

TEXTS = ["rome", "paris", "berlin"]
BODY: dict[str, Any] = {"query": "capital", "texts": TEXTS}


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/reranking", "/v1/reranking"])
def test_texts_make_a_ranking_of_all_texts(path: str) -> None:
    assert answered(path, BODY, [0.25, 0.75, 0.5]) == [
        {"index": 1, "score": 0.75},
        {"index": 2, "score": 0.5},
        {"index": 0, "score": 0.25},
    ]


def test_texts_come_back_where_asked_for() -> None:
    ranks = answered("/rerank", {**BODY, "return_text": True}, [0.25, 0.75, 0.5])
    assert [rank["text"] for rank in ranks] == ["paris", "berlin", "rome"]


@pytest.mark.parametrize(
    ("sent", "raw", "truncate", "side", "most"),
    [
        ({}, False, True, None, None),
        ({"raw_scores": False, "truncate": True, "truncation_direction": "Left"}, False, True, "left", None),
        ({"raw_scores": True, "truncate": False, "truncation_direction": "right"}, True, False, "right", None),
        ({"raw_scores": None, "truncate": None, "truncation_direction": None}, False, True, None, None),
        # litellm's
        (
            {"raw_scores": False, "truncation_direction": "Right", "top_n": 2, "return_text": True},
            False,
            True,
            "right",
            2,
        ),
    ],
)
def test_settings_reach_the_model(sent: dict[str, Any], raw: bool, truncate: bool, side: str, most: int) -> None:
    ask = asked("/rerank", **BODY, **sent, unknown=1)
    assert (ask.raw, ask.truncate, ask.truncation_side, ask.top_n) == (raw, truncate, side, most)
    assert ask.pairs == tuple(("capital", text) for text in TEXTS)


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"texts": []}, 400, "Empty"),
        ({"texts": ["a", None]}, 422, "Validation"),
        ({"texts": "rome"}, 422, "Validation"),
        ({"query": None}, 422, "Validation"),
        ({"raw_scores": "yes"}, 422, "Validation"),
        ({"truncation_direction": "Up"}, 422, "Validation"),
        ({"texts": ["a\ud800"]}, 422, "Tokenizer"),
    ],
)
def test_a_wrong_field_has_the_type_of_error_that_clients_know(changes: dict[str, Any], status: int, kind: str) -> None:
    with pytest.raises(Refusal) as caught:
        asked("/rerank", **{**BODY, **changes})
    assert (caught.value.status, caught.value.kind) == (status, kind)


def test_predictions_of_one_pair_are_a_list_from_the_best_label() -> None:
    ask = asked("/predict", inputs=["a", "b"])
    assert (ask.pairs, ask.order, ask.softmax) == ((("a", "b"),), False, True)
    found = answered("/predict", {"inputs": ["a", "b"]}, [[0.25, 0.625, 0.125]], model=NLI)
    assert found == [
        {"score": 0.625, "label": "entailment"},
        {"score": 0.25, "label": "contradiction"},
        {"score": 0.125, "label": "neutral"},
    ]


def test_predictions_of_several_pairs_are_lists_in_the_order_of_the_pairs() -> None:
    body = {"inputs": [["a", "b"], ["c", "d"]], "raw_scores": True}
    assert asked("/predict", **body).raw
    assert answered("/predict", body, [0.25, 0.5]) == [
        [{"score": 0.25, "label": "LABEL_0"}],
        [{"score": 0.5, "label": "LABEL_0"}],
    ]


def test_labels_without_names_are_numbered() -> None:
    unnamed = dataclasses.replace(NLI, label_names=())
    found = answered("/predict", {"inputs": ["a", "b"]}, [[0.5, 0.25, 0.25]], model=unnamed)
    assert [one["label"] for one in found] == ["LABEL_0", "LABEL_1", "LABEL_2"]


@pytest.mark.parametrize(
    ("inputs", "status"),
    [
        ("a", 422),
        ([["a"]], 422),
        (["a"], 422),
        (["a", "b", "c"], 422),
        ([["a", "b"], "c"], 422),
        ([["a", 5]], 422),
        ([], 400),
        ([[]], 400),
        (None, 422),
        (7, 422),
        ({"a": 1}, 422),
    ],
)
def test_inputs_that_are_not_pairs_are_refused(inputs: Any, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        asked("/predict", inputs=inputs)
    assert (caught.value.status, caught.value.argument) == (status, "inputs")


def test_the_information_has_every_key() -> None:
    reply = viewed("/info")
    assert reply.status == 200
    assert reply.content == {
        "model_id": "cross-encoder/mini",
        "model_sha": "a" * 40,
        "model_dtype": "float32",
        "served_model_name": "mini",
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_concurrent_requests": 100,
        "max_input_length": 512,
        "max_batch_tokens": 16384,
        "max_batch_requests": None,
        "max_client_batch_size": 1000,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": "0.1.0",
        "sha": None,
        "docker_label": None,
    }


def test_a_model_with_several_labels_is_a_classifier() -> None:
    content = viewed("/info", dataclasses.replace(FACTS, models=(NLI,))).content
    assert content["model_type"]["classifier"]["id2label"]["1"] == "entailment"


@pytest.mark.parametrize("state", ["loading", "draining"])
def test_a_server_that_cannot_score_is_alive_but_not_ready(state: str) -> None:
    facts = dataclasses.replace(FACTS, state=state, models=())
    for path in ("/health", "/ping", "/ready", "/v1/health/ready", "/info"):
        reply = viewed(path, facts)
        assert (reply.status, reply.content["error_type"]) == (503, "Unhealthy")
        assert state in reply.content["error"] == reply.content["message"] == reply.content["detail"]
    for path in ("/live", "/v1/health/live"):
        assert viewed(path, facts).status == 200


def test_health_is_empty() -> None:
    assert [(viewed(path).status, viewed(path).content) for path in ("/health", "/ping")] == [(200, None)] * 2
