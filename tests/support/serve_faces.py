"""Requests as clients send them, through the APIs of pairchain-serve but without a server or a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from pairchain_serve.ask import Answer, Ask, Facts, Served, Span
from pairchain_serve.body import Body
from pairchain_serve.face import Face, Reply
from pairchain_serve.faces import faces, views

MODEL = Served(
    name="mini",
    source="cross-encoder/mini",
    revision="a" * 40,
    dtype="float32",
    max_input_length=512,
    labels=1,
    label_names=("LABEL_0",),
    created=1700000000,
)
NLI = Served(
    name="nli",
    source="cross-encoder/nli",
    revision=None,
    dtype="float32",
    max_input_length=512,
    labels=3,
    label_names=("contradiction", "entailment", "neutral"),
    created=1700000000,
)
FACTS = Facts(
    models=(MODEL,),
    state="ready",
    waiting_pairs=3,
    most_pairs=100,
    most_texts=1000,
    most_batch_tokens=16384,
    version="0.1.0",
)


def face_of(path: str, values: dict[str, Any]) -> Face:
    """Return the API that takes a body on a path."""
    return next(face for face in faces() if path in face.paths and face.takes(values))


def asked(path: str, agent: str = "", **values: Any) -> Ask:
    """Return what a body asks for."""
    return face_of(path, values).parse(Body(values, agent))


def answered(
    path: str,
    values: dict[str, Any],
    scores: list[Any],
    *,
    agent: str = "",
    model: Served = MODEL,
    spans: tuple[tuple[Span, ...], ...] | None = None,
) -> Any:
    """Return the reply to a body if the pairs have ``scores``."""
    face, body = face_of(path, values), Body(values, agent)
    ask = face.parse(body)
    found = np.asarray(scores, dtype=np.float32)
    order = np.argsort(-found.reshape(len(found), -1)[:, 0], kind="stable").tolist() if ask.order else range(len(found))
    ranking = tuple(order)[: ask.top_n]
    answer = Answer(found, ranking, tokens=77, model=model, spans=spans, id="abc", created=1700000001)
    return face.reply(body, ask, answer)


def viewed(path: str, facts: Facts = FACTS) -> Reply:
    """Return the reply of a route that describes the server."""
    return next(view for view in views() if path in view.paths).get(facts)
