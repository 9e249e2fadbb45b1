"""Cohere's API, versions 1 and 2."""

from __future__ import annotations

from pairchain_serve.ask import Answer, Ask
from pairchain_serve.body import Body
from pairchain_serve.face import JSON, Face
from pairchain_serve.ranking import REQUEST, RESPONSE, read, reply


def _reply(body: Body, ask: Ask, answer: Answer) -> JSON:
    return reply(body, answer)


FACES = (
    Face(
        name="cohere",
        paths=("/v2/rerank",),
        parse=read,
        reply=_reply,
        request=REQUEST,
        response=RESPONSE,
        summary="Rank documents, as Cohere's version 2 and vLLM do.",
    ),
    Face(
        name="cohere-v1",
        paths=("/v1/rerank",),
        parse=read,
        reply=_reply,
        request=REQUEST,
        response=RESPONSE,
        takes=lambda values: any(values.get(name) is not None for name in ("rank_fields", "max_chunks_per_doc")),
        summary="Rank documents, as Cohere's version 1 does.",
    ),
)
