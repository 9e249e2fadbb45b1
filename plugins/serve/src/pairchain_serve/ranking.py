"""What the APIs that rank documents have in common: the fields, and one reply that all of their clients read.

A field that one API knows works in all of them, so that every client can use every setting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pairchain_serve.ask import Answer, Ask, SpansWanted, invalid
from pairchain_serve.body import Body
from pairchain_serve.documents import documents_of, listed, query_of
from pairchain_serve.schemas import (
    COUNT,
    DOCUMENTS,
    ELEMENT,
    FLAG,
    NAME,
    NUMBER,
    SIDE,
    SOME,
    TEXT,
    USAGE,
    JSONSchema,
    choice,
    many,
    optional,
    record,
)

JSON = Any
# Cohere bills a search for each hundred documents.
DOCUMENTS_OF_A_SEARCH = 100

# What `settings_of` reads.
SETTINGS: dict[str, JSONSchema] = {
    "model": NAME,
    "raw_scores": FLAG,
    "use_activation": FLAG,
    "instruction": NAME,
    "prompt_name": NAME,
    "truncate": FLAG,
    "truncation_side": SIDE,
    "truncation_direction": SIDE,
    "max_tokens_per_query": SOME,
    "max_tokens_per_doc": SOME,
    "truncate_prompt_tokens": optional({"type": "integer", "minimum": -1}),
}
SPANS = record({}, mode=choice("enabled", "disabled"), threshold=optional(NUMBER), max_spans=SOME)
REQUEST: JSONSchema = record(
    {"query": ELEMENT, "documents": DOCUMENTS},
    top_n=SOME,
    return_documents=FLAG,
    rank_fields=optional(many(TEXT)),
    relevant_spans=optional(SPANS),
    **SETTINGS,
)
SPAN = record({"start": COUNT, "end": COUNT, "score": NUMBER})
RESULT = record({"index": COUNT, "relevance_score": NUMBER}, document={}, relevant_spans=many(SPAN))
RESPONSE: JSONSchema = record(
    {
        "id": TEXT,
        "object": TEXT,
        "created": COUNT,
        "model": TEXT,
        "results": many(RESULT),
        "usage": USAGE,
        "meta": record(
            {
                "api_version": record({"version": TEXT}),
                "billed_units": record({"search_units": COUNT}),
                "tokens": record({"input_tokens": COUNT, "output_tokens": COUNT}),
            }
        ),
    }
)


def settings_of(body: Body) -> dict[str, Any]:
    """Return the fields of an `Ask` that every API shares."""
    side = body.choice("truncation_side", ("left", "right"))
    direction = body.choice("truncation_direction", ("left", "right"))
    return {
        "model": body.text_or_none("model"),
        "instruction": body.text_or_none("instruction"),
        "prompt_name": body.text_or_none("prompt_name"),
        "raw": wants_logits(body),
        "truncate": body.flag("truncate", default=True),
        "truncation_side": side or direction,
        # vLLM's 0 means no limit
        "max_query_tokens": body.whole("max_tokens_per_query") or None,
        "max_document_tokens": body.whole("max_tokens_per_doc") or None,
        "max_pair_tokens": _pair_tokens(body),
    }


def wants_logits(body: Body) -> bool:
    """Return whether the scores are to be logits, in the words of TEI, infinity or vLLM."""
    applies = body.named(("use_activation", "activation"))
    return body.flag("raw_scores", default=applies is not None and not body.flag(applies))


def _pair_tokens(body: Body) -> int | None:
    # vLLM's -1 means the model's own limit
    most = body.whole("truncate_prompt_tokens", least=-1)
    return most if most is not None and most > 0 else None


def read(body: Body) -> Ask:
    """Return what a request with a query and documents asks for."""
    fields = body.texts("rank_fields") if body.get("rank_fields") not in (None, []) else ()
    query = query_of(body)
    return Ask(
        pairs=tuple((query, document) for document in documents_of(body, fields=fields)),
        top_n=body.whole("top_n") or None,
        spans=_spans(body),
        **settings_of(body),
    )


def _spans(body: Body) -> SpansWanted | None:
    if not body.has("relevant_spans"):
        return None
    wanted = body.object("relevant_spans")
    spans = SpansWanted(wanted.number("threshold", default=0.1), wanted.whole("max_spans"))
    return None if wanted.choice("mode", ("enabled", "disabled")) == "disabled" else spans


def score_at(answer: Answer, index: int) -> float:
    """Return the score of a pair.

    Raises:
        Refusal: The model gives several scores for a pair, which do not rank.
    """
    if answer.scores.ndim > 1:
        message = f"the model gives {answer.scores.shape[1]} scores for each pair; ask /predict for all of them."
        raise invalid(message, argument="model")
    return float(answer.scores[index])


def usage_of(answer: Answer) -> dict[str, int]:
    """Return the tokens that a request took, in OpenAI's words."""
    return {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens}


def as_object(document: Any) -> Any:
    """Return a document as Cohere, Jina and vLLM return it: an object."""
    return {"text": document} if isinstance(document, str) else document


def reply(
    body: Body, answer: Answer, *, document: Callable[[Any], Any] | None = as_object, kind: str = "list"
) -> dict[str, JSON]:
    """Return a reply with the fields that Cohere, Jina, vLLM, infinity and llama.cpp give, from the best document.

    Args:
        document: Turns a document into what the reply shows, if the request asks for documents. Without it, the reply
            has none.
        kind: The value of ``object``.
    """
    shown = listed(body, "documents") if document is not None and body.flag("return_documents") else None
    results: list[dict[str, Any]] = []
    for place, index in enumerate(answer.ranking):
        result: dict[str, Any] = {"index": index, "relevance_score": score_at(answer, index)}
        # a null would break clients, so what was not asked for is left out
        if shown is not None and document is not None:
            result["document"] = document(shown[index])
        if answer.spans is not None:
            spans = answer.spans[place]
            result["relevant_spans"] = [{"start": one.start, "end": one.end, "score": one.score} for one in spans]
        results.append(result)
    return {
        "id": answer.id,
        "object": kind,
        "created": answer.created,
        "model": answer.model.name,
        "results": results,
        "usage": usage_of(answer),
        "meta": _meta(answer),
    }


def _meta(answer: Answer) -> dict[str, JSON]:
    searches = -(-len(answer.scores) // DOCUMENTS_OF_A_SEARCH)
    return {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": searches},
        "tokens": {"input_tokens": answer.tokens, "output_tokens": 0},
    }
