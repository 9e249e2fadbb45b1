"""The API of text-embeddings-inference: ranking texts, predicting labels, and what the server is."""

from __future__ import annotations

from typing import Any

from pairchain_serve.ask import Answer, Ask, Facts, Served, empty, invalid
from pairchain_serve.body import Body, checked_text, kind_of
from pairchain_serve.documents import query_of, texts_of
from pairchain_serve.face import JSON, Face, Reply, View
from pairchain_serve.faces.health import unready
from pairchain_serve.ranking import SETTINGS, score_at, settings_of
from pairchain_serve.schemas import (
    COUNT,
    ELEMENT,
    FLAG,
    LIST,
    NUMBER,
    SOME,
    TEXT,
    many,
    optional,
    record,
)

RERANK = record({"query": ELEMENT, "texts": LIST}, return_text=FLAG, top_n=SOME, **SETTINGS)
RANKS = many(record({"index": COUNT, "score": NUMBER}, text={}))
PAIR = many(TEXT, minItems=2, maxItems=2)
PREDICT = record({"inputs": {"anyOf": [PAIR, many(PAIR, minItems=1)]}}, **SETTINGS)
PREDICTIONS = many(record({"score": NUMBER, "label": TEXT}))
INFO = record({"model_id": TEXT, "model_dtype": TEXT, "max_client_batch_size": COUNT}, model_sha=optional(TEXT))


def _rerank(body: Body) -> Ask:
    query = query_of(body)
    pairs = tuple((query, text) for text in texts_of(body, "texts"))
    # text-embeddings-inference returns every text, but a client that sends llama.cpp's `top_n` expects only so many
    return Ask(pairs=pairs, top_n=body.whole("top_n") or None, **settings_of(body))


def _ranks(body: Body, ask: Ask, answer: Answer) -> JSON:
    ranks: list[dict[str, Any]] = [{"index": index, "score": score_at(answer, index)} for index in answer.ranking]
    if body.flag("return_text"):
        texts = body.items("texts")
        for rank in ranks:
            rank["text"] = texts[rank["index"]]
    return ranks


def _predict(body: Body) -> Ask:
    inputs = body.get("inputs")
    if isinstance(inputs, str):
        raise invalid("`inputs` must be a pair, [query, document], or a list of pairs.", argument="inputs")
    items = body.items("inputs")
    pairs = (_pair(items, None),) if _is_pair(items) else tuple(_pair(item, at) for at, item in enumerate(items))
    return Ask(pairs=pairs, order=False, softmax=True, **settings_of(body))


def _is_pair(items: list[Any]) -> bool:
    """Return whether the inputs are one pair of texts, not a list of pairs."""
    return isinstance(items[0], str)


def _pair(item: Any, index: int | None) -> tuple[str, str]:
    shown = "`inputs`" if index is None else f"item {index} of `inputs`"
    if not isinstance(item, list):
        raise invalid(f"{shown} must be a list, not {kind_of(item)}.", argument="inputs", index=index)
    if not item:
        raise empty(f"{shown} is empty; pass a query and a document.", argument="inputs")
    if len(item) != 2:
        message = f"{shown} has {len(item)} texts; this model scores pairs: [query, document]."
        raise invalid(message, argument="inputs", index=index)
    query, document = (checked_text(text, f"a text in {shown}", "inputs", index) for text in item)
    return query, document


def _predictions(body: Body, ask: Ask, answer: Answer) -> JSON:
    found = [_labelled(row, answer.model) for row in answer.scores.reshape(len(answer.scores), -1).tolist()]
    return found[0] if _is_pair(body.items("inputs")) else found


def _labelled(scores: list[float], model: Served) -> list[dict[str, Any]]:
    """Return the score of each label, from the best."""
    names = label_names(model)
    return sorted(
        ({"score": score, "label": name} for score, name in zip(scores, names, strict=True)),
        key=lambda one: -float(one["score"]),
    )


def label_names(model: Served) -> list[str]:
    """Return the name of each label, or ``LABEL_0`` and so on, as the transformers library calls them."""
    return [*model.label_names] or [f"LABEL_{number}" for number in range(model.labels)]


def _info(facts: Facts) -> Reply:
    if not facts.models:
        return unready(facts)
    model = facts.models[0]
    names = label_names(model)
    labels = {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }
    return Reply(
        {
            "model_id": model.source,
            "model_sha": model.revision,
            "model_dtype": model.dtype,
            "served_model_name": model.name,
            "model_type": {"reranker" if model.labels == 1 else "classifier": labels},
            "max_concurrent_requests": facts.most_pairs,
            "max_input_length": model.max_input_length,
            "max_batch_tokens": facts.most_batch_tokens,
            "max_batch_requests": None,
            "max_client_batch_size": facts.most_texts,
            "auto_truncate": True,
            "tokenization_workers": facts.tokenizing_threads,
            "version": facts.version,
            "sha": None,
            "docker_label": None,
        }
    )


FACES = (
    Face(
        name="tei",
        paths=("/rerank", "/v1/rerank", "/reranking", "/v1/reranking"),
        parse=_rerank,
        reply=_ranks,
        request=RERANK,
        response=RANKS,
        takes=lambda values: values.get("texts") is not None,
        summary="Rank texts, as text-embeddings-inference does.",
    ),
    Face(
        name="tei-predict",
        paths=("/predict",),
        parse=_predict,
        reply=_predictions,
        request=PREDICT,
        response={"anyOf": [PREDICTIONS, many(PREDICTIONS)]},
        summary="Score pairs with every label, as text-embeddings-inference does.",
    ),
)
VIEWS = (
    View(
        name="tei",
        paths=("/info",),
        get=_info,
        response=INFO,
        summary="Describe the model and the limits.",
        statuses={503: "The model is still loading."},
    ),
)
