"""Routes get what their models would get without a Router: each input encoded once, batches by tokens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from letters import Difference
from PIL import Image
from route_models import PICTURE, Anything, Says, model_of
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain.modules import Router

EXACT = {"rtol": 1e-5, "atol": 1e-6}
PAIRS = [("how many people live in berlin ?", "berlin " * count) for count in (3, 40, 1, 7, 19, 2, 33, 0, 11)]
SAID = [
    [{"role": "query", "content": "berlin"}, {"role": "document", "content": "a city " * count}]
    for count in (9, 1, 4, 17)
]
MIXED = [item for both in zip(PAIRS, SAID, strict=False) for item in both]


class Batches:
    """The shape of each batch that a model computes, as (inputs, positions)."""

    def __init__(self, transformer: Any) -> None:
        self.shapes: list[tuple[int, ...]] = []
        embeddings = transformer.model.get_input_embeddings()
        embeddings.register_forward_hook(lambda module, given, output: self.shapes.append(tuple(output.shape[:2])))


class Noting(Anything):
    """Takes pictures too, only preprocesses, and remembers its batches; refuses a pair that starts with ``bad``."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Any]] = []

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        self.batches.append(list(inputs))
        for index, item in enumerate(inputs):
            if item[0] == "bad":
                raise InputError("is bad.", index=index)
        return super().preprocess(inputs, prompt, **kwargs)


def golden(name: str) -> CrossEncoder:
    model = load(GOLDEN / name / "model")
    model.activation_fn, model.default_prompt_name = torch.nn.Identity(), None
    return model


def two_texts(**options: Any) -> tuple[CrossEncoder, CrossEncoder, CrossEncoder]:
    """Return a model with a route for pairs of texts and one for conversations, and the models of the routes."""
    plain, chat = golden("bert_seqcls_1label"), golden("qwen3_seqcls_chat_template")
    rules = {(None, "message"): "chat"}
    return model_of({"plain": list(plain), "chat": list(chat)}, route_mappings=rules, **options), plain, chat


def beside_pictures() -> tuple[CrossEncoder, CrossEncoder, Noting]:
    """Return a model with a route that encodes texts, that route's model, and a route that only preprocesses."""
    plain, noting = golden("bert_seqcls_1label"), Noting()
    return (
        model_of({"plain": list(plain), "other": [noting, Says(7.0)]}, route_mappings={(None, "image"): "other"}),
        (plain),
        noting,
    )


def test_the_batches_of_each_route_hold_as_many_tokens_as_they_may() -> None:
    model, plain, chat = two_texts()
    model.tokens_per_batch = 300
    # a model is asked something the first time, with batches of its own
    model.predict(MIXED)
    batches = {route[0]: Batches(route[0]) for route in (plain, chat)}

    model.predict(MIXED)

    for each in batches.values():
        assert all(inputs == 1 or inputs * positions <= 300 for inputs, positions in each.shapes)
        assert any(inputs > 1 for inputs, _ in each.shapes)


def test_scores_are_those_of_the_routes_alone_and_in_the_order_of_the_inputs() -> None:
    model, plain, chat = two_texts()

    scores = model.predict(MIXED)

    np.testing.assert_allclose(scores[0::2], plain.predict(MIXED[0::2]), **EXACT)
    np.testing.assert_allclose(scores[1::2], chat.predict(MIXED[1::2]), **EXACT)


@cache
def nested() -> tuple[CrossEncoder, dict[bool, CrossEncoder]]:
    """Return a model with routes in a route, and the models of pairs of texts (True) and of conversations (False)."""
    _, plain, chat = two_texts()
    inner = Router({"other": [Noting(), Says(7.0)], "plain": list(plain)}, route_mappings={(None, "text"): "plain"})
    rules = {(None, "message"): "chat"}
    sub_modules = {"deep": [inner], "chat": list(chat)}
    return model_of(sub_modules, default_route="deep", route_mappings=rules), {True: plain, False: chat}


@pytest.mark.slow
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from([*PAIRS, *SAID, ("a", PICTURE), (PICTURE, "b")]), min_size=1, max_size=24),
    st.integers(1, 400),
    st.none() | st.integers(1, 5),
)
def test_no_mixture_of_inputs_and_no_budget_changes_a_score(items: list[Any], tokens: int, size: int | None) -> None:
    model, alone = nested()
    model.tokens_per_batch = tokens

    scores = model.predict(items, batch_size=size or "auto")

    expected = [7 if PICTURE in item else float(alone[isinstance(item, tuple)].predict(item)) for item in items]
    np.testing.assert_allclose(scores, expected, **EXACT)


def test_a_pair_that_comes_twice_is_computed_once() -> None:
    model = golden("router_by_task")
    batches = Batches(model[0].sub_modules["fast"][0])

    scores = model.predict([PAIRS[0], PAIRS[1], PAIRS[0], PAIRS[0]], task="fast")

    assert sum(inputs for inputs, _ in batches.shapes) == 2
    assert scores[0] == scores[2] == scores[3] != scores[1]


def test_what_is_encoded_becomes_the_features_that_preprocess_makes() -> None:
    router = golden("router_by_task")[0]
    options: dict[str, Any] = {"prompt": "berlin ", "task": "fast", "max_length": 12}

    features = router.collate(router.encode(PAIRS, **options))
    expected = router.preprocess(PAIRS, **options)

    assert features.keys() == expected.keys() >= {"routes", "task"}
    assert features["input_ids"].shape[1] == 12
    for key, value in expected.items():
        assert torch.equal(features[key], value) if isinstance(value, torch.Tensor) else features[key] == value


def test_prompt_and_settings_reach_a_route_inside_a_route() -> None:
    plain = golden("bert_seqcls_1label")
    inner = Router({"in": list(plain), "other": [Noting(), Says(7.0)]}, route_mappings={(None, "image"): "other"})
    model = model_of({"deep": [inner], "flat": [Anything(), Difference()]})
    options: dict[str, Any] = {"prompt": "berlin ", "max_length": 20}
    batches = Batches(plain[0])

    scores = model.predict([*PAIRS, ("a", PICTURE)], task="deep", **options)

    assert max(positions for _, positions in batches.shapes) == 20
    np.testing.assert_allclose(scores, [*plain.predict(PAIRS, **options), 7], **EXACT)
    assert model.predict(("a", PICTURE), task="flat", prompt="xyz ") == 5 - 100


def test_a_route_that_only_preprocesses_gets_32_of_about_one_size_at_a_time_beside_one_that_encodes() -> None:
    model, plain, noting = beside_pictures()
    batches = Batches(plain[0])
    pictures = [("a" * (number * 7 % 70), PICTURE) for number in range(70)]

    scores = model.predict([*pictures, *(("a", str(number)) for number in range(70))])

    by_size = sorted(sorted(len(first) for first, _ in batch) for batch in noting.batches)
    assert [len(batch) for batch in by_size] == [6, 32, 32]
    assert [size for sizes in by_size for size in sizes] == sorted(len(first) for first, _ in pictures)
    assert max(inputs for inputs, _ in batches.shapes) > 32
    assert (scores[:70] == 7).all()
    assert not (scores[70:] == 7).any()


def test_a_route_in_a_route_that_only_preprocesses_gets_32_at_a_time_too() -> None:
    plain, noting = golden("bert_seqcls_1label"), Noting()
    inner = Router({"plain": list(plain), "other": [noting, Says(7.0)]}, route_mappings={(None, "image"): "other"})
    model = model_of({"deep": [inner]}, default_route="deep")

    model.predict([*[("a" * number, PICTURE) for number in range(70)], *PAIRS])

    assert sorted(map(len, noting.batches)) == [6, 32, 32]


def test_routes_that_only_preprocess_get_batches_as_ever() -> None:
    noting = Noting()
    model = model_of({"a": [noting, Says(0)], "b": [Anything(), Says(1)]}, route_mappings={(None, "image"): "b"})

    assert model.predict([*[("a", "b" * number) for number in range(40)], ("a", PICTURE)]).tolist() == [0] * 40 + [1]
    assert [len(batch) for batch in noting.batches] == [32, 8]


def test_too_little_memory_for_a_route_that_only_preprocesses_halves_its_batches() -> None:
    class Crowded(Says):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            if len(features["letters"]) > 10:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(features, **kwargs)

    plain = golden("bert_seqcls_1label")
    rules = {(None, "image"): "other"}
    model = model_of({"plain": list(plain), "other": [Noting(), Crowded(7.0)]}, route_mappings=rules)

    with pytest.warns(UserWarning, match="a batch of 32 pairs"):
        scores = model.predict([*[(PICTURE, "b")] * 40, *PAIRS])

    np.testing.assert_allclose(scores, [*[7] * 40, *plain.predict(PAIRS)], **EXACT)


@pytest.mark.parametrize(
    ("items", "index", "words"),
    [
        ([PAIRS[0], (PICTURE, "a"), PAIRS[1], ("", ""), (PICTURE, "b")], 3, "has no tokens"),
        ([PAIRS[0], (PICTURE, "a"), PAIRS[1], ("bad", PICTURE)], 3, "is bad"),
        ([PAIRS[0], (PICTURE, "a"), PAIRS[1], ("a", {"sound": 1})], 3, "is a dict with the key 'sound'"),
    ],
    ids=["by an encoding route", "by one that only preprocesses", "by the router"],
)
def test_an_input_that_is_refused_is_named_by_its_place_among_all(items: list[Any], index: int, words: str) -> None:
    chain = golden("pooling_left_padding")
    rules = {(None, "image"): "other"}
    model = model_of({"plain": list(chain), "other": [Noting(), Says(7.0)]}, route_mappings=rules)

    with pytest.raises(InputError, match=words) as caught:
        model.predict(items)

    assert caught.value.index == index


def test_an_input_without_a_route_is_named_by_its_place_among_all() -> None:
    plain = golden("bert_seqcls_1label")
    rules = {(None, "text"): "plain", (None, "image"): "other"}
    model = model_of(
        {"plain": list(plain), "other": [Noting(), Says(7.0)]}, allow_empty_key=False, route_mappings=rules
    )

    with pytest.raises(InputError, match="input 2: no route matches an input of chat messages"):
        model.predict([PAIRS[0], ("a", PICTURE), SAID[0]])


@pytest.mark.slow
def test_pictures_and_texts_go_their_ways_in_workers_too() -> None:
    model = golden("router_with_vlm")
    red = Image.new("RGB", (16, 16), "red")
    items = [*PAIRS[:3], ("what is this ?", red), *PAIRS[3:5]]

    with model.start_multi_process_pool(["cpu"] * 2) as pool:
        scores = model.predict(items, pool=pool, chunk_size=3)

    np.testing.assert_allclose(scores, [float(model.predict(item)) for item in items], **EXACT)


def test_a_subclass_with_a_preprocess_of_its_own_is_asked_for_nothing_else() -> None:
    class Shouting(Router):
        def preprocess(self, inputs: Sequence[Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
            return super().preprocess([(first + " ?", second) for first, second in inputs], *args, **kwargs)

    plain = golden("bert_seqcls_1label")
    model = model_of(Shouting({"a": list(plain)}))

    expected = plain.predict([(first + " ?", second) for first, second in PAIRS])
    np.testing.assert_allclose(model.predict(PAIRS), expected, **EXACT)
