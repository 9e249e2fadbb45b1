"""Router: which route a pair takes, and that it takes it whatever its batch mates are."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from letters import PAIRS, Difference, Letters
from PIL import Image
from route_models import PICTURE, SAID, SOUND, Anything, Says, Scaled, model_of, routes
from tiny_models import GOLDEN, load
from torch import nn

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain.modules import Router

# -- which route --


def test_each_task_has_its_route_and_no_task_takes_the_default() -> None:
    model = model_of(routes("fast", "slow"), default_route="slow")

    assert model.predict(PAIRS).tolist() == [1, 1, 1, 1]
    assert model.predict(PAIRS, task="fast").tolist() == [0, 0, 0, 0]
    assert model.predict(PAIRS[0], task="slow") == 1
    assert [hit["score"] for hit in model.rank("q", ["a", "b"], task="fast")] == [0, 0]


def test_a_router_for_queries_and_documents_takes_a_document_by_default() -> None:
    query, document = routes("query", "document").values()

    model = model_of(Router.for_query_document(query, document))

    assert [model.predict(PAIRS[0], **task) for task in ({}, {"task": "query"}, {"task": "document"})] == [1, 0, 1]
    assert Router.for_query_document(query, document, default_route=None, allow_empty_key=False).default_route is None


def test_the_first_route_is_the_default_unless_that_is_not_allowed() -> None:
    assert Router(routes("b", "a")).default_route == "b"
    assert Router(routes("b", "a"), allow_empty_key=False).default_route is None


def test_a_task_that_leads_nowhere_is_refused_even_with_a_default() -> None:
    model = model_of(routes("fast", "slow"), default_route="slow")

    with pytest.raises(InputError) as caught:
        model.predict(PAIRS, task="fsat")

    assert "no route matches the task 'fsat' (did you mean 'fast'?)" in str(caught.value)
    assert "the routes are fast, slow; pass task= with one of them" in caught.value.next_step


def test_without_a_default_a_pair_that_no_rule_names_is_refused_by_its_place() -> None:
    model = model_of(routes("a", "b"), allow_empty_key=False, route_mappings={(None, "image"): "a"})

    with pytest.raises(InputError) as caught:
        model.predict([(PICTURE, "x" * 200), ("a", "b")])

    assert "input 1: no route matches an input of text, and there is no default route" in str(caught.value)
    assert "pass task= with one of the routes: a, b" in caught.value.next_step
    assert model.predict(PAIRS[0], task="b") == 1


RULES = {
    ("t", "text"): "both",
    ("t", None): "task",
    (None, "image"): "image",
    (None, ("text", "audio")): "sound",
    (None, "message"): "chat",
}


@pytest.mark.parametrize(
    ("item", "task", "route"),
    [
        (("a", "b"), "t", "both"),
        (("a", PICTURE), "t", "task"),
        (("a", PICTURE), None, "image"),
        ((PICTURE, PICTURE), None, "image"),
        ((PICTURE, {"text": "a", "image": PICTURE}), None, "image"),
        ((SOUND, "a"), None, "sound"),
        ((SOUND, SOUND), None, "audio"),
        ((SOUND, PICTURE), None, "default"),
        (("a", "b"), None, "default"),
        ([SAID], None, "chat"),
        (("a", "b"), "sound", "sound"),
        ((PICTURE, "b"), "sound", "image"),
    ],
)
def test_rules_come_before_names_and_the_narrower_rule_before_the_wider(item: Any, task: Any, route: str) -> None:
    names = ["both", "task", "image", "sound", "chat", "audio", "default"]
    model = model_of(routes(*names), default_route="default", route_mappings=RULES)

    assert names[int(model.predict([item], **({"task": task} if task else {}))[0])] == route


def test_a_rule_for_anything_comes_before_names_and_default() -> None:
    model = model_of(routes("a", "b"), default_route="a", route_mappings={(None, None): "b"})

    assert model.predict([PAIRS[0], ("a", PICTURE)], task="a").tolist() == [1, 1]


def test_the_modality_can_be_told_in_any_order() -> None:
    model = model_of(routes("a", "b"), route_mappings={(None, ("image", "text")): "b"})

    assert model.predict(PAIRS, modality=("text", "image")).tolist() == [1, 1, 1, 1]
    assert model.predict(PAIRS, modality="audio").tolist() == [0, 0, 0, 0]


def test_a_modality_that_nothing_has_is_refused_with_the_nearest() -> None:
    model = model_of(routes("a", "b"), route_mappings={(None, "smell"): "b"})

    assert model.predict(PAIRS[0], modality="smell") == 1
    for modality in ("iamge", ("text", "iamge")):
        with pytest.raises(
            InputError, match=r"(?s)no modality 'iamge' \(did you mean 'image'\?\).*one of text, image, a"
        ):
            model.predict(PAIRS, modality=modality)
    heads = Router({"up": [Difference()], "down": [Says(-1)]})
    with pytest.raises(InputError, match="no modality 'iamge'"):
        CrossEncoder(modules=[Letters(), heads]).predict(PAIRS, modality="iamge")


def test_a_text_that_names_a_picture_is_one_only_where_a_route_takes_pictures() -> None:
    pair = ("a bee", "https://example.org/bee.png")
    sees = {"words": [Anything("text"), Says(0)], "pictures": [Anything("text", "image", "message"), Says(1)]}
    reads = {"words": [Anything("text"), Says(0)], "pictures": [Anything("text", "message"), Says(1)]}
    rule = {(None, "image"): "pictures"}

    assert model_of(sees, route_mappings=rule).predict(pair) == 1
    assert model_of(sees, route_mappings=rule).predict(pair, modality="text") == 0
    assert model_of(reads, route_mappings=rule).predict(pair) == 0


# -- each pair by itself --

kinds = st.sampled_from([("a", "bb"), ("aaaa", PICTURE), (SOUND, "b"), (PICTURE, PICTURE), [SAID], ("", "cccc")])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(kinds, max_size=12), st.integers(1, 5))
def test_the_route_of_a_pair_does_not_depend_on_its_batch_mates(inputs: list[Any], batch_size: int) -> None:
    model = model_of(
        {name: [Anything(), Scaled()] if name == "text" else route for name, route in routes("text", "a", "b").items()},
        route_mappings={(None, "image"): "a", (None, ("audio", "text")): "b", (None, "message"): "b"},
    )

    together = model.predict(inputs, batch_size=batch_size).tolist()

    assert together == [model.predict([item])[0] for item in inputs]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.permutations(range(7)), st.integers(1, 7))
def test_real_models_score_a_mix_of_texts_and_pictures_as_each_pair_alone(order: list[int], batch_size: int) -> None:
    model, inputs, alone = words_and_pictures()

    together = model.predict([inputs[position] for position in order], batch_size=batch_size)

    np.testing.assert_allclose(together, [alone[position] for position in order], atol=2e-5)


@cache
def words_and_pictures() -> tuple[CrossEncoder, list[Any], list[float]]:
    """Return a Router of a text model and one that sees, inputs for both, and what each scores on its own."""
    model = load(GOLDEN / "router_with_vlm" / "model")
    inputs: list[Any] = [("how many ?", "berlin " * n) for n in (1, 9, 4)]
    inputs += [("a bee" * n, Image.new("RGB", (24, 24), color)) for n, color in enumerate(("red", "blue"), start=1)]
    inputs += [[{"role": "query", "content": "a bee"}, {"role": "document", "content": "a wasp"}], ("x", "y")]
    return model, inputs, [float(model.predict([item])[0]) for item in inputs]


def test_a_pair_of_texts_takes_the_route_that_it_takes_alone_where_the_reference_takes_another() -> None:
    model, _, _ = words_and_pictures()
    recorded = json.loads((GOLDEN / "router_with_vlm" / "golden.json").read_text())
    *_, mixed, alone = recorded["calls"]
    assert (mixed["kwargs"], alone["kwargs"]) == ({}, {"batch_size": 1})
    assert mixed["expected"] != pytest.approx(alone["expected"], abs=0.1)
    inputs = [
        ("a bee", Image.open(GOLDEN / "router_with_vlm" / "assets" / "red.png").convert("RGB")),
        ("a bee", "text"),
    ]

    for batch_size in (1, 2):
        scores = model.predict(inputs, batch_size=batch_size)
        np.testing.assert_allclose(scores, alone["expected"], atol=recorded["tolerance"])


def test_preprocess_refuses_inputs_of_two_routes_and_says_how_predict_does_it() -> None:
    router = Router(routes("a", "b"), route_mappings={(None, "image"): "b"})

    with pytest.raises(
        InputError, match=r"these 3 inputs take the routes a, b\.\n  next:  preprocess the inputs of each"
    ):
        router.preprocess([("a", "b"), ("a", PICTURE), ("c", "d")])


def test_an_input_that_its_route_cannot_take_is_named_with_place_route_and_remedy() -> None:
    model = model_of({"words": [Anything("text"), Says(0)], "all": [Anything(), Says(1)]})
    items = [("a", "b"), ("a" * 50, "b"), ("a", PICTURE)]

    with pytest.raises(InputError) as caught:
        model.predict(items)

    assert "input 2: an input of image and text goes to the route 'words', which takes text." in str(caught.value)
    assert "route_mappings={(None, ('image', 'text')): …}" in caught.value.next_step
    assert model.predict(items, task="all").tolist() == [1, 1, 1]
    with pytest.raises(InputError, match="an input of chat messages goes to the route 'words'"):
        model.predict([[SAID]])


def test_pictures_in_pairs_need_a_route_with_a_chat_template() -> None:
    model = model_of({"both": [Anything("text", "image"), Says(0)], "chat": [Anything("message"), Says(1)]})

    with pytest.raises(InputError, match=r"'both', which takes text, image but has no chat template"):
        model.predict([("a", PICTURE)])


# -- first, in the middle, one in another --


def test_in_the_middle_of_a_chain_the_task_chooses() -> None:
    router = Router({"up": [Difference()], "down": [Says(-1)]}, default_route="up")
    model = CrossEncoder(modules=[Letters(), router], activation_fn=nn.Identity())

    assert model.predict(PAIRS).tolist() == [-3, 2, 0, -3]
    assert model.predict(PAIRS, task="down").tolist() == [-1, -1, -1, -1]
    with pytest.raises(InputError, match=r"no route matches the task 'sideways'"):
        model.predict(PAIRS, task="sideways")


def test_in_the_middle_of_a_chain_what_the_inputs_were_chooses() -> None:
    class Seen(Letters):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            return {**features, "modality": "image"}

    router = Router({"words": [Says(0)], "pictures": [Says(1)]}, route_mappings={(None, "image"): "pictures"})

    assert CrossEncoder(modules=[Seen(), router], activation_fn=nn.Identity()).predict(PAIRS[0]) == 1
    assert CrossEncoder(modules=[Letters(), router], activation_fn=nn.Identity()).predict(PAIRS[0]) == 0
