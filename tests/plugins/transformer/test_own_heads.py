"""A score head of one's own over a causal model: it is asked how many scores it writes, not the model under it."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_models import GOLDEN, load
from torch import nn

from pairchain import CrossEncoder, Module
from pairchain.modules import Dense, LogitScore, Router, Transformer

PAIRS = [("how many people live in berlin ?", "berlin had a population"), ("mars", "the red planet"), ("x", "y")]
BASE = GOLDEN / "qwen3_causal_logitscore" / "model"
YES, NO = 314, 309


class Tempered(Module):
    """`LogitScore` divided by a temperature, as an author would write it; it declares nothing."""

    config_keys = ["temperature"]

    def __init__(self, temperature: float = 2.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits = features["causal_logits"][:, -1]
        features["scores"] = (logits[:, YES] - logits[:, NO]).unsqueeze(-1) / self.temperature
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.save_config(output_path)


def base() -> Transformer:
    return Transformer(str(BASE), transformer_task="text-generation")


# What the head stands in. sentence-transformers 6.2.0 takes the causal model's two labels for the head's.
CHAINS = {
    "a chain": lambda: [base(), Tempered()],
    "a router": lambda: [Router({"a": [base(), Tempered()]})],
    "a router after the model": lambda: [base(), Router({"a": [Tempered()], "b": [LogitScore(YES, NO)]})],
}


@pytest.mark.parametrize("place", CHAINS)
def test_one_score_a_pair_is_one_label_with_a_sigmoid_and_can_be_ranked(place: str) -> None:
    expected = load(BASE, activation_fn=nn.Identity()).predict(PAIRS, prompt="") / 2
    model = CrossEncoder(modules=CHAINS[place](), device="cpu")

    assert model[0].config.num_labels == 2
    assert model.num_labels == 1
    assert isinstance(model.activation_fn, nn.Sigmoid)
    assert model.predict(PAIRS, activation_fn=nn.Identity()) == pytest.approx(expected, abs=1e-5)
    assert model.predict(PAIRS).shape == (3,)
    assert model.predict(PAIRS[0]).shape == ()
    ranking = {hit["corpus_id"]: hit["score"] for hit in model.rank(PAIRS[0][0], [PAIRS[0][1], "x"])}
    assert ranking[0] == pytest.approx(float(model.predict(PAIRS[0])), abs=1e-5)


def test_it_ranks_before_anything_else_was_asked_of_it() -> None:
    model = CrossEncoder(modules=CHAINS["a chain"](), device="cpu")

    assert [hit["corpus_id"] for hit in model.rank("mars", ["the red planet"])] == [0]


def test_a_dense_in_a_router_after_the_model_counts_its_own_scores() -> None:
    model = load(GOLDEN / "pooling_mean" / "model")
    heads = {name: [Dense(32, 3, module_output_name="scores")] for name in ("a", "b")}

    several = CrossEncoder(modules=[*list(model)[:2], Router(heads)], device="cpu")

    assert several.num_labels == 3
    assert isinstance(several.activation_fn, nn.Identity)
    assert several.predict(PAIRS).shape == (3, 3)
