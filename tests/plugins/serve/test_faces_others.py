"""The APIs of vLLM's scores, NVIDIA NIM, and the lists of models; and which API gets a body on a shared path."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from serve_faces import FACTS, answered, asked, face_of, viewed

from pairchain_serve.ask import Refusal
from pairchain_serve.faces import faces, views

PAIRS = (("a", "x"), ("b", "y"))
BODY = {"query": "q", "documents": ["a"]}


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
@pytest.mark.parametrize(
    "names", [("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2")]
)
def test_scores_keep_the_order_of_the_pairs(path: str, names: tuple[str, str]) -> None:
    first, second = names
    body = {"model": "m", first: ["a", "b"], second: ["x", "y"]}
    assert asked(path, **body).pairs == PAIRS
    assert answered(path, body, [0.25, 0.75]) == {
        "id": "abc",
        "object": "list",
        "created": 1700000001,
        "model": "mini",
        "data": [
            {"index": 0, "object": "score", "score": 0.25},
            {"index": 1, "object": "score", "score": 0.75},
        ],
        "usage": {"prompt_tokens": 77, "total_tokens": 77},
    }


@pytest.mark.parametrize("query", ["a", ["a"]])
def test_one_query_is_paired_with_every_document(query: Any) -> None:
    assert asked("/score", text_1=query, text_2=["x", "y"]).pairs == (("a", "x"), ("a", "y"))
    assert asked("/score", text_1=query, text_2="x").pairs == (("a", "x"),)


@pytest.mark.parametrize(
    "body",
    [
        {"text_1": ["a", "b"], "text_2": ["x"]},
        {"text_1": ["a", "b"], "text_2": "x"},
        {"text_1": ["a", "b"], "text_2": ["x", "y", "z"]},
        {"text_1": "a"},
        {"text_2": "a"},
        {"text_1": "a", "documents": ["x"]},
        {},
    ],
)
def test_sides_that_do_not_fit_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        asked("/score", **body)
    assert caught.value.status == 422


def test_scores_take_settings_and_images() -> None:
    image = {"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}
    ask = asked("/score", queries="a", documents=image, use_activation=False, truncate_prompt_tokens=8, user=None)
    assert (ask.raw, ask.max_pair_tokens) == (True, 8)
    assert ask.pairs == (("a", {"image": "data:image/png;base64,AA"}),)


def test_an_error_of_vllm_is_an_object_inside() -> None:
    face = face_of("/score", {})
    assert face.error is not None
    found = face.error(Refusal(429, "Overloaded", "the queue is full.", argument="queries"))
    assert found["error"] == {
        "message": "the queue is full.",
        "type": "Overloaded",
        "param": "queries",
        "code": 429,
    }
    assert (found["error_type"], found["message"], found["detail"]) == ("Overloaded", *["the queue is full."] * 2)


NIM: dict[str, Any] = {"model": "m", "query": {"text": "q"}, "passages": [{"text": "a"}, {"text": "b"}]}


def test_nim_gets_logits() -> None:
    ask = asked("/v1/ranking", **NIM)
    assert (ask.pairs, ask.raw, ask.truncate) == ((("q", "a"), ("q", "b")), True, True)
    assert answered("/v1/ranking", NIM, [-2.5, 3.0]) == {
        "rankings": [{"index": 1, "logit": 3.0}, {"index": 0, "logit": -2.5}]
    }


def test_nim_says_with_a_word_whether_to_cut() -> None:
    assert not asked("/v1/ranking", **NIM, truncate="NONE").truncate
    assert asked("/v1/ranking", **NIM, truncate="END").truncate
    with pytest.raises(Refusal):
        asked("/v1/ranking", **NIM, truncate=True)


def test_the_models_are_listed_for_tools_of_openai_and_infinity() -> None:
    listed = viewed("/v1/models").content
    assert listed["object"] == "list"
    assert listed["data"] == [
        {
            "id": "mini",
            "object": "model",
            "created": 1700000000,
            "owned_by": "pairchain",
            "root": "cross-encoder/mini",
            "max_model_len": 512,
        }
    ]
    (model,) = viewed("/models").content["data"]
    assert (model["id"], model["stats"]["queue_absolute"]) == ("mini", 3)
    assert viewed("/load").content == {"server_load": 3}
    assert viewed("/version").content == {"version": FACTS.version}


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/rerank", {"query": "q", "texts": ["a"]}, "tei"),
        ("/rerank", {"query": "q", "texts": None, "documents": ["a"]}, "rerank"),
        ("/rerank", {"query": "q", "documents": ["a"], "raw_scores": False}, "infinity"),
        ("/rerank", {"text_1": "q", "text_2": ["a"]}, "vllm-score-shared"),
        ("/v1/rerank", {"queries": "q", "documents": ["a"]}, "vllm-score-shared"),
        ("/v1/rerank", {"query": "q", "documents": ["a"]}, "jina"),
        ("/v1/rerank", {"query": "q", "documents": ["a"], "rank_fields": ["text"]}, "cohere-v1"),
        ("/v2/rerank", {"query": "q", "documents": ["a"]}, "cohere"),
        ("/reranking", {"query": "q", "documents": ["a"]}, "llama.cpp"),
        ("/reranking", {"query": "q", "texts": ["a"]}, "tei"),
    ],
)
def test_the_body_decides_where_two_apis_share_a_path(path: str, body: dict[str, Any], name: str) -> None:
    assert face_of(path, body).name == name


def test_each_path_has_one_api_that_takes_what_the_others_leave() -> None:
    for path in {path for face in faces() for path in face.paths}:
        assert [face.takes_all for face in faces() if path in face.paths].count(True) == 1
    described = [path for view in views() for path in view.paths]
    assert len(described) == len(set(described))


@pytest.mark.parametrize(
    ("path", "body", "scores"),
    [
        ("/rerank", {"query": "q", "texts": ["a"], "return_text": True}, [0.5]),
        ("/v1/rerank", {**BODY, "return_documents": True, "top_n": None}, [0.5]),
        ("/v2/rerank", {**BODY, "relevant_spans": {"mode": "disabled"}}, [0.5]),
        ("/rerank", {**BODY, "raw_scores": True, "return_documents": True}, [0.5]),
        ("/reranking", BODY, [0.5]),
        ("/score", {"text_1": "q", "text_2": ["a"]}, [0.5]),
        ("/v1/ranking", NIM, [0.5, 0.25]),
        ("/predict", {"inputs": ["a", "b"]}, [0.5]),
        ("/predict", {"inputs": [["a", "b"]]}, [0.5]),
    ],
)
def test_requests_and_replies_are_as_the_schemas_say(path: str, body: dict[str, Any], scores: list[float]) -> None:
    face = face_of(path, body)
    jsonschema.validate(body, dict(face.request))
    jsonschema.validate(answered(path, body, scores), dict(face.response))


@pytest.mark.parametrize("view", views(), ids=lambda view: view.name)
def test_descriptions_are_as_the_schemas_say(view: Any) -> None:
    content = view.get(FACTS).content
    assert (content is None) == (view.response is None)
    if content is not None:
        jsonschema.validate(content, dict(view.response))
