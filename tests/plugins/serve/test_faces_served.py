"""Requests as clients send them, to a real server: each API gets the scores of `predict`, in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from serving import Served, served
from tiny_models import GOLDEN

from pairchain import CrossEncoder

QUERY = "how many people live in berlin ?"
TEXTS = ["berlin had a population of 3520031 .", "yes no", "x y how many people", "what is the"]
RANKS = ("/rerank", "/v1/rerank", "/v2/rerank", "/reranking", "/v1/reranking")


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return CrossEncoder(GOLDEN / "bert_seqcls_1label/model", device="cpu")


@pytest.fixture(scope="module")
def labels() -> CrossEncoder:
    return CrossEncoder(GOLDEN / "bert_seqcls_3labels/model", device="cpu")


@pytest.fixture(scope="module")
def server(model: CrossEncoder, labels: CrossEncoder) -> Iterator[Served]:
    with served({"tiny": model, "labels": labels}, keys=["key"]) as running:
        yield running


@pytest.fixture(scope="module")
def scores(model: CrossEncoder) -> list[float]:
    found: list[float] = model.predict([(QUERY, text) for text in TEXTS]).tolist()
    return found


@pytest.fixture(scope="module")
def logits(model: CrossEncoder) -> list[float]:
    found: list[float] = model.predict([(QUERY, text) for text in TEXTS], activation_fn=torch.nn.Identity()).tolist()
    return found


def ask(server: Served, path: str, body: dict[str, Any], status: int = 200) -> Any:
    found = server.client.post(path, json=body)
    assert found.status_code == status, found.text
    return found.json()


def assert_ranked(rows: list[dict[str, Any]], key: str, scores: list[float], most: int | None = None) -> None:
    """Assert that rows are the best documents, from the best, with their scores."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[:most]
    assert [row["index"] for row in rows] == order
    assert [row[key] for row in rows] == pytest.approx([scores[index] for index in order], abs=1e-5)


@pytest.mark.parametrize("path", RANKS)
def test_documents_are_ranked_on_every_path(server: Served, scores: list[float], path: str) -> None:
    body = {"model": "tiny", "query": QUERY, "documents": TEXTS}
    assert_ranked(ask(server, path, body)["results"], "relevance_score", scores)
    found = ask(server, path, {**body, "top_n": 2, "return_documents": True})["results"]
    assert_ranked(found, "relevance_score", scores, most=2)
    assert [one["document"]["text"] for one in found] == [TEXTS[one["index"]] for one in found]


@pytest.mark.parametrize("setting", [{"raw_scores": True}, {"use_activation": False}, {"activation": False}])
@pytest.mark.parametrize("path", RANKS)
def test_logits_are_ranked_where_asked_for(
    server: Served, logits: list[float], path: str, setting: dict[str, Any]
) -> None:
    body = {"model": "tiny", "query": QUERY, "documents": TEXTS, **setting}
    assert_ranked(ask(server, path, body)["results"], "relevance_score", logits)


def test_texts_are_ranked_as_text_embeddings_inference_does(
    server: Served, scores: list[float], logits: list[float]
) -> None:
    body = {"query": QUERY, "texts": TEXTS}
    found = ask(server, "/rerank", body)
    assert [set(one) for one in found] == [{"index", "score"}] * len(TEXTS)
    assert_ranked(found, "score", scores)
    assert_ranked(ask(server, "/rerank", {**body, "raw_scores": True}), "score", logits)


def test_predictions_are_probabilities_of_labels(server: Served, scores: list[float], labels: CrossEncoder) -> None:
    pairs = [[QUERY, text] for text in TEXTS]
    found = ask(server, "/predict", {"model": "tiny", "inputs": pairs})
    assert [one["score"] for (one,) in found] == pytest.approx(scores, abs=1e-5)
    expected = labels.predict(pairs, activation_fn=torch.nn.Softmax(dim=-1)).tolist()
    several = ask(server, "/predict", {"model": "labels", "inputs": pairs})
    for row, wanted in zip(several, expected, strict=True):
        assert [one["score"] for one in row] == pytest.approx(sorted(wanted, reverse=True), abs=1e-5)
        assert sum(one["score"] for one in row) == pytest.approx(1, abs=1e-5)
    alone = ask(server, "/predict", {"model": "labels", "inputs": pairs[0]})
    assert [one["label"] for one in alone] == [one["label"] for one in several[0]]


def test_scores_keep_their_order(server: Served, scores: list[float]) -> None:
    found = ask(server, "/v1/score", {"model": "tiny", "text_1": QUERY, "text_2": TEXTS})["data"]
    assert [one["index"] for one in found] == list(range(len(TEXTS)))
    assert [one["score"] for one in found] == pytest.approx(scores, abs=1e-5)


def test_passages_get_logits(server: Served, logits: list[float]) -> None:
    body = {"model": "tiny", "query": {"text": QUERY}, "passages": [{"text": text} for text in TEXTS]}
    assert_ranked(ask(server, "/v1/ranking", body)["rankings"], "logit", logits)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *((path, {"query": QUERY, "documents": TEXTS}) for path in RANKS),
        ("/rerank", {"query": QUERY, "texts": TEXTS}),
        ("/score", {"text_1": QUERY, "text_2": TEXTS}),
        ("/v1/ranking", {"query": {"text": QUERY}, "passages": [{"text": "a"}]}),
    ],
)
def test_several_labels_do_not_rank(server: Served, path: str, body: dict[str, Any]) -> None:
    found = ask(server, path, {**body, "model": "labels"}, 422)
    assert found["error_type"] == "Validation"
    assert found["message"] == found["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        *((path, {"query": QUERY, "documents": []}, 400, "Empty") for path in RANKS),
        *((path, {"query": QUERY}, 422, "Validation") for path in RANKS),
        ("/rerank", {"query": QUERY, "texts": []}, 400, "Empty"),
        ("/predict", {"inputs": []}, 400, "Empty"),
        ("/predict", {"inputs": "alone"}, 422, "Validation"),
        ("/v1/ranking", {"query": QUERY, "passages": []}, 400, "Empty"),
    ],
)
def test_an_error_is_readable_by_every_client(
    server: Served, path: str, body: dict[str, Any], status: int, kind: str
) -> None:
    found = ask(server, path, body, status)
    assert found["error_type"] == kind
    assert found["error"] == found["message"] == found["detail"]
    assert isinstance(found["error"], str)


def test_an_error_of_scores_is_an_object_as_in_vllm(server: Served) -> None:
    found = ask(server, "/score", {"text_1": ["a", "b"], "text_2": ["c"]}, 422)
    assert (found["error"]["code"], found["error"]["param"]) == (422, "text_1")
    assert found["error"]["message"] == found["message"] == found["detail"]


def test_the_models_and_their_limits_are_listed(server: Served, model: CrossEncoder) -> None:
    assert [one["id"] for one in server.client.get("/v1/models").json()["data"]] == ["tiny", "labels"]
    assert [one["id"] for one in server.client.get("/models").json()["data"]] == ["tiny", "labels"]
    described = server.client.get("/info").json()
    assert (described["served_model_name"], described["max_input_length"]) == ("tiny", model.max_length)
    assert described["model_type"].keys() == {"reranker"}


def test_health_needs_no_key_and_has_no_body(server: Served) -> None:
    for path in ("/health", "/ping", "/ready", "/live"):
        found = server.client.get(path, headers={"Authorization": ""})
        assert (found.status_code, found.content) == (200, b"")
    for path in ("/v1/health/live", "/v1/health/ready"):
        assert server.client.get(path, headers={"Authorization": ""}).status_code == 200
    assert server.client.get("/v1/models", headers={"Authorization": ""}).status_code == 401


@pytest.mark.parametrize("path", ["//rerank", "/rerank/", "//v1//rerank/"])
def test_an_address_that_ends_in_a_slash_is_the_same(server: Served, scores: list[float], path: str) -> None:
    found = server.client.post(f"{server.url}{path}", json={"query": QUERY, "documents": TEXTS})
    assert_ranked(found.json()["results"], "relevance_score", scores)
    assert server.client.post(f"{server.url}{path}", json={}, headers={"Authorization": ""}).status_code == 401
    assert server.client.get(f"{server.url}//health/", headers={"Authorization": ""}).status_code == 200
