"""The paths that only llama.cpp has."""

from __future__ import annotations

from pairchain_serve.ask import Answer, Ask
from pairchain_serve.body import Body
from pairchain_serve.face import JSON, Face
from pairchain_serve.ranking import REQUEST, RESPONSE, read, reply


def _reply(body: Body, ask: Ask, answer: Answer) -> JSON:
    return reply(body, answer)


FACES = (
    Face(
        name="llama.cpp",
        paths=("/reranking", "/v1/reranking"),
        parse=read,
        reply=_reply,
        request=REQUEST,
        response=RESPONSE,
        summary="Rank documents, as llama.cpp does.",
    ),
)
