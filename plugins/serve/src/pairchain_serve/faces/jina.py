"""Jina's API. Cohere's version 1, vLLM and llama.cpp share its path, and no field tells their requests apart."""

from __future__ import annotations

from pairchain_serve.ask import Answer, Ask
from pairchain_serve.body import Body
from pairchain_serve.face import JSON, Face
from pairchain_serve.ranking import REQUEST, RESPONSE, read, reply


def _reply(body: Body, ask: Ask, answer: Answer) -> JSON:
    return reply(body, answer)


FACES = (
    Face(
        name="jina",
        paths=("/v1/rerank",),
        parse=read,
        reply=_reply,
        request=REQUEST,
        response=RESPONSE,
        summary="Rank documents, as Jina, Cohere's version 1, vLLM and llama.cpp do.",
    ),
)
