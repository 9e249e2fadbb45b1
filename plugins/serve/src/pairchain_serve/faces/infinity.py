"""infinity's API, whose path vLLM and llama.cpp share, and its list of models."""

from __future__ import annotations

from typing import Any

from pairchain_serve.ask import Answer, Ask, Facts
from pairchain_serve.body import Body
from pairchain_serve.face import JSON, Face, Reply, View
from pairchain_serve.ranking import REQUEST, RESPONSE, as_object, read, reply
from pairchain_serve.schemas import COUNT, TEXT, many, record

MODELS = record(
    {"object": TEXT, "data": many(record({"id": TEXT, "object": TEXT, "stats": record({}), "created": COUNT}))}
)


def _text(document: Any) -> Any:
    """Return a document as infinity returns it: its text."""
    return document.get("text", document) if isinstance(document, dict) else document


def _own(body: Body, ask: Ask, answer: Answer) -> JSON:
    return reply(body, answer, document=_text, kind="rerank")


def _shared(body: Body, ask: Ask, answer: Answer) -> JSON:
    # Litellm sends the same request to infinity as to vLLM, and asks for documents by default, but reads a text in one
    # case and an object in the other. It has the documents anyway, and accepts a reply without them in both cases.
    document = None if body.agent.startswith("litellm/") else as_object
    return reply(body, answer, document=document, kind="rerank")


def _models(facts: Facts) -> Reply:
    stats = {
        "queue_fraction": facts.waiting_pairs / max(1, facts.most_pairs),
        "queue_absolute": facts.waiting_pairs,
        "results_pending": facts.waiting_pairs,
        "batch_size": facts.most_texts,
    }
    data = [
        {
            "id": model.name,
            "object": "model",
            "created": model.created,
            "owned_by": "pairchain",
            "backend": model.dtype,
            "capabilities": ["rerank"],
            "stats": stats,
        }
        for model in facts.models
    ]
    return Reply({"object": "list", "data": data})


FACES = (
    Face(
        name="infinity",
        paths=("/rerank",),
        parse=read,
        reply=_own,
        request=REQUEST,
        response=RESPONSE,
        takes=lambda values: values.get("documents") is not None and values.get("raw_scores") is not None,
        summary="Rank documents, as infinity does: the field `raw_scores` tells it, and documents come back as texts.",
    ),
    Face(
        name="rerank",
        paths=("/rerank",),
        parse=read,
        reply=_shared,
        request=REQUEST,
        response=RESPONSE,
        summary="Rank documents, as infinity, vLLM and llama.cpp do.",
    ),
)
VIEWS = (
    View(name="infinity", paths=("/models",), get=_models, response=MODELS, summary="List the models and their queue."),
)
