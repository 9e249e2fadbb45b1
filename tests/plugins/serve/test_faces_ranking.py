"""The APIs that rank documents: what their clients really send, and the replies that they read."""

from __future__ import annotations

from typing import Any

import pytest
from serve_faces import NLI, answered, asked, face_of

from pairchain_serve.ask import Refusal, Span

DOCUMENTS = ["rome", "paris", "berlin"]
SCORES = [0.25, 0.75, 0.5]
RANKED = [
    {"index": 1, "relevance_score": 0.75},
    {"index": 2, "relevance_score": 0.5},
    {"index": 0, "relevance_score": 0.25},
]
BODY: dict[str, Any] = {"query": "capital", "documents": DOCUMENTS}
RANKING_PATHS = ["/rerank", "/v1/rerank", "/v2/rerank", "/reranking", "/v1/reranking"]

# what each client sends, as captured on loopback
SENT = {
    "cohere": ("/v2/rerank", {"model": "m", "top_n": 2}),
    "langchain-cohere": ("/v2/rerank", {"model": "m", "top_n": 2, "max_tokens_per_doc": None}),
    "cohere-haystack": ("/v2/rerank", {"model": "m", "top_n": 2, "max_tokens_per_doc": 4096}),
    "cohere-v1": ("/v1/rerank", {"model": "m", "top_n": 2, "return_documents": False}),
    "llama-index-jina": ("/v1/rerank", {"model": "m", "top_n": 2}),
    "open-webui": ("/v1/rerank", {"model": "m", "top_n": 2}),
    "litellm-cohere": ("/v2/rerank", {"model": "m", "top_n": 2, "return_documents": False}),
}


@pytest.mark.parametrize("path", RANKING_PATHS)
def test_a_ranking_has_the_fields_of_every_api_and_no_document(path: str) -> None:
    reply = answered(path, BODY, SCORES)
    assert reply["results"] == RANKED
    assert (reply["id"], reply["model"], reply["created"]) == ("abc", "mini", 1700000001)
    assert reply["usage"] == {"prompt_tokens": 77, "total_tokens": 77}
    assert reply["meta"] == {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": 77, "output_tokens": 0},
    }


@pytest.mark.parametrize("client", SENT)
def test_what_a_client_sends_is_taken(client: str) -> None:
    path, more = SENT[client]
    ask = asked(path, **BODY, **more)
    assert ask.pairs == tuple(("capital", document) for document in DOCUMENTS)
    assert (ask.model, ask.top_n, ask.order, ask.raw, ask.spans) == ("m", 2, True, False, None)
    assert answered(path, {**BODY, **more}, SCORES)["results"] == RANKED[:2]


@pytest.mark.parametrize("path", RANKING_PATHS)
def test_nulls_count_as_absent_and_unknown_fields_are_ignored(path: str) -> None:
    fields = [*face_of(path, BODY).request["properties"], "max_chunks_per_doc", "priority", "user"]
    nulls = dict.fromkeys(field for field in fields if field not in BODY)
    assert asked(path, **BODY, **nulls, no_such_field={"a": 1}) == asked(path, **BODY)


@pytest.mark.parametrize("path", RANKING_PATHS)
def test_every_setting_works_on_every_path(path: str) -> None:
    ask = asked(
        path,
        **BODY,
        top_n=5,
        instruction="Find capitals.",
        prompt_name="query",
        use_activation=False,
        truncation_side="left",
        max_tokens_per_query=16,
        max_tokens_per_doc=64,
        truncate_prompt_tokens=128,
    )
    assert (ask.instruction, ask.prompt_name, ask.raw, ask.truncation_side) == ("Find capitals.", "query", True, "left")
    assert (ask.top_n, ask.max_query_tokens, ask.max_document_tokens, ask.max_pair_tokens) == (5, 16, 64, 128)


def test_zero_means_without_limit() -> None:
    ask = asked("/rerank", **BODY, top_n=0, max_tokens_per_query=0, max_tokens_per_doc=0, truncate_prompt_tokens=-1)
    assert (ask.top_n, ask.max_query_tokens, ask.max_document_tokens, ask.max_pair_tokens) == (None,) * 4


@pytest.mark.parametrize("path", RANKING_PATHS)
def test_documents_come_back_as_objects_where_asked_for(path: str) -> None:
    results = answered(path, {**BODY, "return_documents": True, "top_n": 1}, SCORES)["results"]
    assert results == [{"index": 1, "relevance_score": 0.75, "document": {"text": "paris"}}]


def test_infinity_gets_documents_as_texts() -> None:
    body = {**BODY, "return_documents": True, "raw_scores": True}
    assert asked("/rerank", **body).raw
    reply = answered("/rerank", body, SCORES)
    assert (reply["object"], reply["results"][0]["document"]) == ("rerank", "paris")


def test_litellm_gets_no_documents_where_it_reads_one_reply_in_two_ways() -> None:
    body = {**BODY, "model": "m", "return_documents": True}
    assert answered("/rerank", body, SCORES, agent="litellm/1.110.2")["results"] == RANKED
    assert "document" in answered("/v2/rerank", body, SCORES, agent="litellm/1.110.2")["results"][0]


def test_a_document_with_fields_is_scored_by_its_text_or_by_its_rank_fields() -> None:
    documents = [{"title": "Rome", "text": "a city", "id": 7}]
    body = {"query": "capital", "documents": documents}
    assert asked("/v1/rerank", **body).pairs == (("capital", "a city"),)
    assert asked("/v1/rerank", **body, rank_fields=["text"]).pairs == (("capital", "a city"),)
    ranked = {**body, "rank_fields": ["title", "text"], "return_documents": True}
    assert asked("/v1/rerank", **ranked).pairs == (("capital", "title: Rome\ntext: a city"),)
    assert answered("/v1/rerank", ranked, [0.5])["results"][0]["document"] == documents[0]
    with pytest.raises(Refusal) as caught:
        asked("/v1/rerank", **body, rank_fields=["name"])
    assert (caught.value.status, caught.value.index) == (422, 0)


def test_spans_are_asked_for_and_come_back() -> None:
    body = {**BODY, "relevant_spans": {"mode": "enabled", "threshold": 0.5, "max_spans": 2}, "top_n": 2}
    wanted = asked("/v2/rerank", **body).spans
    assert wanted is not None
    assert (wanted.threshold, wanted.most) == (0.5, 2)
    results = answered("/v2/rerank", body, SCORES, spans=((Span(0, 5, 0.75),), ()))["results"]
    assert results[0]["relevant_spans"] == [{"start": 0, "end": 5, "score": 0.75}]
    assert results[1]["relevant_spans"] == []


@pytest.mark.parametrize("spans", [None, {"mode": "disabled"}, {"mode": "disabled", "threshold": 0.2}])
def test_spans_that_are_not_asked_for_are_not_found(spans: Any) -> None:
    assert asked("/v2/rerank", **BODY, relevant_spans=spans).spans is None


def test_a_search_is_billed_for_each_hundred_documents() -> None:
    reply = answered("/v2/rerank", {"query": "q", "documents": ["d"] * 101}, [0.5] * 101)
    assert reply["meta"]["billed_units"] == {"search_units": 2}


@pytest.mark.parametrize(
    ("changes", "status", "argument"),
    [
        ({"query": None}, 422, "query"),
        ({"query": 5}, 422, "query"),
        ({"documents": None}, 422, "documents"),
        ({"documents": 5}, 422, "documents"),
        ({"documents": []}, 400, "documents"),
        ({"documents": {"content": []}}, 400, "documents"),
        ({"top_n": -1}, 422, "top_n"),
        ({"top_n": "many"}, 422, "top_n"),
        ({"top_n": True}, 422, "top_n"),
        ({"model": 5}, 422, "model"),
        ({"return_documents": "yes"}, 422, "return_documents"),
        ({"rank_fields": {}}, 422, "rank_fields"),
        ({"rank_fields": "text"}, 422, "rank_fields"),
        ({"relevant_spans": []}, 422, "relevant_spans"),
        ({"relevant_spans": {"mode": "disabled", "max_spans": -1}}, 422, "max_spans"),
        ({"relevant_spans": {"mode": "some"}}, 422, "mode"),
        ({"truncation_side": "middle"}, 422, "truncation_side"),
        ({"instruction": ["a"]}, 422, "instruction"),
        ({"query": "\ud800"}, 422, "query"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], status: int, argument: str) -> None:
    values = {**BODY, **changes}
    with pytest.raises(Refusal) as caught:
        answered("/v2/rerank", values, SCORES)
    assert (caught.value.status, caught.value.argument) == (status, argument)
    assert argument in caught.value.message


@pytest.mark.parametrize("document", [5, None, ["a"], {}, {"text": 5}, {"name": "a"}, "\udfff", {"content": []}])
def test_a_wrong_document_is_named(document: Any) -> None:
    with pytest.raises(Refusal) as caught:
        asked("/v2/rerank", query="capital", documents=["rome", document])
    assert (caught.value.status, caught.value.index, caught.value.argument) == (422, 1, "documents")


def test_several_labels_do_not_rank() -> None:
    with pytest.raises(Refusal) as caught:
        answered("/v2/rerank", BODY, [[0.1, 0.2, 0.7]] * 3, model=NLI)
    assert (caught.value.status, caught.value.argument) == (422, "model")


IMAGE = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("document", "element"),
    [
        ({"image": IMAGE}, {"image": IMAGE}),
        ({"text": "a cat"}, "a cat"),
        ({"text": "a cat", "image": IMAGE}, {"text": "a cat", "image": IMAGE}),
        ({"type": "image_url", "image_url": {"url": IMAGE}}, {"image": IMAGE}),
        ({"type": "text", "text": "a cat"}, "a cat"),
        ({"content": "a cat"}, "a cat"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "cat"}]}, "a\ncat"),
        (
            {"content": [{"type": "text", "text": "a cat"}, {"type": "image_url", "image_url": {"url": IMAGE}}]},
            {"text": "a cat", "image": IMAGE},
        ),
    ],
)
def test_documents_may_be_images(document: dict[str, Any], element: Any) -> None:
    assert asked("/v1/rerank", query="capital", documents=["rome", document]).pairs[1] == ("capital", element)
    assert asked("/v1/rerank", query=document, documents=["rome"]).pairs == ((element, "rome"),)


def test_one_text_and_the_content_of_a_message_are_lists_of_documents() -> None:
    assert asked("/rerank", query="capital", documents="rome").pairs == (("capital", "rome"),)
    content = [{"type": "image_url", "image_url": {"url": IMAGE}}, {"type": "text", "text": "rome"}]
    pairs = asked("/rerank", query="capital", documents={"content": content}).pairs
    assert pairs == (("capital", {"image": IMAGE}), ("capital", "rome"))


def test_a_document_has_one_image_at_most() -> None:
    part = {"type": "image_url", "image_url": {"url": IMAGE}}
    with pytest.raises(Refusal, match="more than one image"):
        asked("/rerank", query="capital", documents=[{"content": [part, part]}])
