"""The API of NVIDIA NIM, whose scores are always logits."""

from __future__ import annotations

from pairchain_serve.ask import Answer, Ask, Facts
from pairchain_serve.body import Body
from pairchain_serve.documents import query_of, texts_of
from pairchain_serve.face import JSON, Face, Reply, View
from pairchain_serve.faces.health import UNREADY, unready
from pairchain_serve.ranking import SETTINGS, score_at, settings_of
from pairchain_serve.schemas import COUNT, ELEMENT, LIST, NUMBER, SOME, TEXT, choice, many, record

REQUEST = record(
    {"query": ELEMENT, "passages": LIST}, **{**SETTINGS, "truncate": choice("NONE", "END", "START"), "top_k": SOME}
)
RESPONSE = record({"rankings": many(record({"index": COUNT, "logit": NUMBER}))})
STATE = record({"object": TEXT, "message": TEXT})


def _rank(body: Body) -> Ask:
    # its `truncate` is a word, where the others have a boolean
    cut = body.choice("truncate", ("NONE", "END", "START"), default="END")
    others = Body({name: value for name, value in body.values.items() if name != "truncate"}, body.agent)
    settings = {**settings_of(others), "raw": True, "truncate": cut != "NONE"}
    if cut == "START":
        settings["truncation_side"] = "left"
    query = query_of(body)
    pairs = tuple((query, passage) for passage in texts_of(body, "passages"))
    return Ask(pairs=pairs, top_n=body.whole("top_k") or None, **settings)


def _rankings(body: Body, ask: Ask, answer: Answer) -> JSON:
    return {"rankings": [{"index": index, "logit": score_at(answer, index)} for index in answer.ranking]}


def _alive(facts: Facts) -> Reply:
    return Reply({"object": "health.response", "message": "live"})


def _ready(facts: Facts) -> Reply:
    if facts.state != "ready":
        return unready(facts)
    return Reply({"object": "health.response", "message": "ready"})


FACES = (
    Face(
        name="nim",
        paths=("/v1/ranking",),
        parse=_rank,
        reply=_rankings,
        request=REQUEST,
        response=RESPONSE,
        summary="Rank passages by logits, as NVIDIA NIM does.",
    ),
)
VIEWS = (
    View(
        name="nim-live",
        paths=("/v1/health/live",),
        get=_alive,
        response=STATE,
        is_open=True,
        summary="Whether the server lives.",
    ),
    View(
        name="nim-ready",
        paths=("/v1/health/ready",),
        get=_ready,
        response=STATE,
        is_open=True,
        summary="Whether the server can score now.",
        statuses=UNREADY,
    ),
)
