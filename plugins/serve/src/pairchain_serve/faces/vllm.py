"""The API of vLLM: scores of pairs, in their order. Its ranking is what other APIs on the same paths give."""

from __future__ import annotations

from itertools import repeat
from typing import Any

from pairchain_serve.ask import Answer, Ask, Refusal, invalid
from pairchain_serve.body import Body
from pairchain_serve.documents import documents_of
from pairchain_serve.face import JSON, Face, Reply, View
from pairchain_serve.ranking import SETTINGS, score_at, settings_of, usage_of
from pairchain_serve.schemas import COUNT, DOCUMENTS, NUMBER, TEXT, USAGE, many, record

# The names of the queries, and the names that their documents may have.
SIDES = {"queries": ("documents", "items"), "data_1": ("data_2",), "text_1": ("text_2",)}
SCORE = {
    "anyOf": [
        record({first: DOCUMENTS, second: DOCUMENTS}, **SETTINGS)
        for first, seconds in SIDES.items()
        for second in seconds
    ]
}
SCORES = record(
    {
        "id": TEXT,
        "object": TEXT,
        "created": COUNT,
        "model": TEXT,
        "data": many(record({"index": COUNT, "object": TEXT, "score": NUMBER})),
        "usage": USAGE,
    }
)


def _score(body: Body) -> Ask:
    first = body.named(tuple(SIDES))
    if first is None:
        raise invalid("pass `queries` and `documents`, or `text_1` and `text_2`.", argument="queries")
    second = body.named(SIDES[first])
    if second is None:
        raise invalid(f"the field `{SIDES[first][0]}` is missing.", argument=SIDES[first][0])
    queries, documents = documents_of(body, first), documents_of(body, second)
    if len(queries) not in (1, len(documents)):
        message = (
            f"`{first}` has {len(queries)} items and `{second}` {len(documents)}; pass one query or equal numbers."
        )
        raise invalid(message, argument=first)
    beside: Any = repeat(queries[0]) if len(queries) == 1 else queries
    return Ask(pairs=tuple(zip(beside, documents, strict=False)), order=False, **settings_of(body))


def _scores(body: Body, ask: Ask, answer: Answer) -> JSON:
    return {
        "id": answer.id,
        "object": "list",
        "created": answer.created,
        "model": answer.model.name,
        "data": [
            {"index": index, "object": "score", "score": score_at(answer, index)} for index in range(len(answer.scores))
        ],
        "usage": usage_of(answer),
    }


def _error(refusal: Refusal) -> JSON:
    # its clients read the message inside `error`; the rest is as everywhere
    nested = {
        "message": refusal.message,
        "type": refusal.kind,
        "param": refusal.argument,
        "code": refusal.status,
    }
    return {
        "error": nested,
        "error_type": refusal.kind,
        "message": refusal.message,
        "detail": refusal.message,
    }


def _is_score(values: Any) -> bool:
    return any(values.get(name) is not None for name in SIDES)


FACES = (
    Face(
        name="vllm-score",
        paths=("/score", "/v1/score"),
        parse=_score,
        reply=_scores,
        request=SCORE,
        response=SCORES,
        error=_error,
        summary="Score pairs in their order, as vLLM does.",
    ),
    Face(
        name="vllm-score-shared",
        paths=("/rerank", "/v1/rerank", "/v2/rerank"),
        parse=_score,
        reply=_scores,
        request=SCORE,
        response=SCORES,
        takes=_is_score,
        error=_error,
        summary="Score pairs in their order, where `queries`, `data_1` or `text_1` is sent to a path that ranks.",
    ),
)
VIEWS = (
    View(
        name="vllm-load",
        paths=("/load",),
        get=lambda facts: Reply({"server_load": facts.waiting_pairs}),
        response=record({"server_load": COUNT}),
        summary="The number of pairs that wait or run.",
    ),
    View(
        name="vllm-version",
        paths=("/version",),
        get=lambda facts: Reply({"version": facts.version}),
        response=record({"version": TEXT}),
        summary="The version of pairchain-serve.",
    ),
)
