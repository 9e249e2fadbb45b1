"""What a route need not compute: the rows of a head that no module of the whole chain reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from route_models import model_of
from saving_models import LogitReader, Widths
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder
from pairchain.modules import Router

EXACT = {"rtol": 1e-5, "atol": 1e-6}
PAIRS = [("how many people live in berlin ?", "berlin " * count) for count in (3, 20, 1, 7)]


def golden(name: str) -> CrossEncoder:
    model = load(GOLDEN / name / "model")
    model.activation_fn, model.default_prompt_name = torch.nn.Identity(), None
    return model


def causal_router() -> tuple[Router, Any]:
    chain = golden("qwen3_causal_logitscore")
    chain[0].savings.last_position = True
    return Router({"a": list(chain)}), chain[0]


def test_a_route_leaves_out_the_rows_of_its_head_that_nobody_reads() -> None:
    router, _ = causal_router()
    model = model_of({"deep": [router]})
    expected = golden("qwen3_causal_logitscore").predict(PAIRS)
    model.predict(PAIRS)  # which asks the model once what it allows

    with Widths() as widths:
        scores = model.predict(PAIRS)

    assert 2 in widths.seen
    assert 400 not in widths.seen
    np.testing.assert_allclose(scores, expected, **EXACT)


def test_a_module_after_the_router_that_reads_the_logits_gets_all_of_them() -> None:
    router, transformer = causal_router()
    reader = LogitReader()
    model = model_of({"deep": [router]}, reader)

    scores = model.predict(PAIRS)

    assert all(shape[1:] == (1, 400) for shape in reader.shapes)
    alone = CrossEncoder(modules=[transformer, LogitReader()], activation_fn=torch.nn.Identity(), device="cpu")
    np.testing.assert_allclose(scores, alone.predict(PAIRS), **EXACT)


def test_who_watches_a_router_or_calls_the_chain_sees_all_of_the_logits() -> None:
    class Watching(Router):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            features = super().forward(features, **kwargs)
            seen.append(features["causal_logits"].shape)
            return features

    seen: list[Any] = []
    router, _ = causal_router()
    model_of(Watching({"a": list(router.sub_modules["a"])})).predict(PAIRS)
    hooked = model_of({"deep": [router]})
    with torch.inference_mode():
        seen.append(hooked(hooked.preprocess(PAIRS))["causal_logits"].shape)
    router.register_forward_hook(lambda module, given, output: seen.append(output["causal_logits"].shape))
    hooked.predict(PAIRS)

    assert len(seen) >= 3
    assert all(shape[1:] == (1, 400) for shape in seen)
