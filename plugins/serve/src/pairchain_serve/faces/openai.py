"""OpenAI's list of models, which tools ask to see what a server offers."""

from __future__ import annotations

from pairchain_serve.ask import Facts
from pairchain_serve.face import Reply, View
from pairchain_serve.schemas import COUNT, TEXT, many, record

MODEL = record({"id": TEXT, "object": TEXT, "created": COUNT, "owned_by": TEXT})


def _models(facts: Facts) -> Reply:
    data = [
        {
            "id": model.name,
            "object": "model",
            "created": model.created,
            "owned_by": "pairchain",
            # as vLLM tells it
            "root": model.source,
            "max_model_len": model.max_input_length,
        }
        for model in facts.models
    ]
    return Reply({"object": "list", "data": data})


VIEWS = (
    View(
        name="openai",
        paths=("/v1/models",),
        get=_models,
        response=record({"object": TEXT, "data": many(MODEL)}),
        summary="List the models.",
    ),
)
