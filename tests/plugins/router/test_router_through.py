"""What is seen through a Router: labels, keywords, limits, dtypes; and what makes no Router at all."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from letters import PAIRS, Difference, Letters
from route_models import PICTURE, Anything, Says, Scaled, model_of, routes
from tiny_models import GOLDEN, load
from torch import nn

from pairchain import PairchainWarning
from pairchain.errors import ChainError, InputError, UnknownKeywordError, UnsafePathError
from pairchain.modules import Dense, Router


def refused(error: type[Exception], words: Sequence[str], sub_modules: Any, **options: Any) -> None:
    with pytest.raises(error) as caught:
        Router(sub_modules, **options)
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value)


# -- what is seen through it --


def test_a_module_in_two_routes_is_one_module_and_is_told_once() -> None:
    head, tower = Says(0), Dense(2, 3, module_input_name="letters")
    model = model_of({"a": [Letters(), tower, head], "b": [Letters(), tower, head], "c": [Letters(), head, head]})

    assert sum(parameter.numel() for parameter in model.parameters()) == 9
    assert head.told == 1


def test_keywords_reach_preprocess_and_forward_of_the_routes_that_take_them() -> None:
    scaled = {"a": [Letters(), Scaled()], "b": [Letters(), Difference()]}
    model = model_of(scaled)

    assert model.predict(PAIRS, scale=2.0).tolist() == [-6, 4, 0, -6]
    assert model.predict(PAIRS, scale=2.0, task="b").tolist() == [-3, 2, 0, -3]
    assert [hit["score"] for hit in model.rank("aaa", ["", "a"], scale=3.0)] == [9, 6]
    inner = model_of({"outer": [Router(scaled)]})
    assert inner.predict(PAIRS, scale=2.0).tolist() == [-6, 4, 0, -6]


def test_settings_of_a_tokenizer_reach_it_and_the_prompt_does() -> None:
    alone = load(GOLDEN / "bert_seqcls_1label" / "model", activation_fn=nn.Identity())
    model = model_of({"a": list(alone), "b": [Letters(), Difference()]})
    keywords: dict[str, Any] = {"processing_kwargs": {"text": {"max_length": 8}}, "prompt": "judge : "}
    pairs = [("how many people live in berlin ?", "berlin had a population")]

    assert model.predict(pairs, **keywords) == alone.predict(pairs, **keywords)
    assert model.predict(pairs, **keywords) != alone.predict(pairs)
    ranked, expected = (which.rank(*pairs[0][:1], ["x", "y yes"], **keywords) for which in (model, alone))
    assert ranked == expected
    # Letters takes a prompt too, and no settings
    assert model.predict(PAIRS, task="b", **keywords).tolist() == [5, 10, 8, 5]


def test_a_keyword_that_nobody_inside_takes_is_refused_with_the_nearest() -> None:
    model = model_of({"outer": [Router({"a": [Letters(), Scaled()]})]})

    for call in (lambda: model.predict(PAIRS, scael=2), lambda: model.rank("a", ["b"], scael=2)):
        with pytest.raises(UnknownKeywordError) as caught:
            call()
        assert "'scael' (did you mean 'scale'?)" in str(caught.value)
        assert "modality, scale, task" in str(caught.value)


def test_three_labels_inside_are_three_labels_outside() -> None:
    recorded = json.loads((GOLDEN / "router_3labels" / "golden.json").read_text())
    sigmoid, logits = [call for call in recorded["calls"] if call["method"] == "predict"][:2]
    assert logits["kwargs"] == {"activation_fn": {"__activation__": "torch.nn.Identity"}}
    with pytest.warns(PairchainWarning, match=r"activation Sigmoid.*this Router gives 3.*Pass activation_fn="):
        model = load(GOLDEN / "router_3labels" / "model")

    assert (model.num_labels, type(model.activation_fn)) == (3, nn.Identity)
    np.testing.assert_allclose(model.predict(logits["inputs"]), logits["expected"], atol=recorded["tolerance"])
    assert model.predict(logits["inputs"][0]).shape == (3,)
    scores = model.predict(sigmoid["inputs"], batch_size=2, activation_fn=nn.Sigmoid(), convert_to_tensor=True)
    np.testing.assert_allclose(scores, sigmoid["expected"], atol=recorded["tolerance"])
    with pytest.raises(InputError, match="this model gives 3"):
        model.rank("how many people live in berlin ?", ["berlin", "museums"])


def test_an_activation_that_is_given_or_that_pairchain_saved_is_taken_as_it_is(tmp_path: Path) -> None:
    model = load(GOLDEN / "router_3labels" / "model", activation_fn=nn.Sigmoid())
    model.save_pretrained(tmp_path)

    assert type(model.activation_fn) is type(load(tmp_path).activation_fn) is nn.Sigmoid


def test_routes_that_give_different_numbers_of_scores_make_no_chain() -> None:
    head = Dense(2, 3, module_input_name="letters", module_output_name="scores")

    with pytest.raises(ChainError, match=r"different numbers of scores: \{'one': 1, 'three': 3\}"):
        model_of({"one": [Letters(), Difference()], "three": [Letters(), head]})


def test_a_route_that_does_not_score_or_lacks_a_feature_makes_no_chain() -> None:
    with pytest.raises(ChainError, match="nothing in this chain writes 'scores'; it writes letters"):
        model_of({"a": [Letters(), Difference()], "b": [Letters()]})
    with pytest.raises(ChainError, match="Router reads 'sentence_embedding', which no module before it writes"):
        model_of({"a": [Letters(), Dense(2, 1, module_output_name="scores")]})
    # what every route writes, modules after it can read
    assert model_of({"a": [Letters()], "b": [Anything()]}, Difference()).predict(PAIRS[0]) == -3


def test_a_route_that_cannot_read_inputs_says_so() -> None:
    class Mute(Says):
        reads, writes = None, None

    with pytest.raises(ChainError, match=r"Mute reads no inputs: it has neither preprocess nor tokenize"):
        model_of({"a": [Mute(0)]}).predict(PAIRS)


def test_the_longest_input_of_any_route_is_its_own_and_can_be_set_for_all() -> None:
    folder = GOLDEN / "bert_seqcls_1label" / "model"
    short, long = load(folder, max_length=16), load(folder, max_length=32)
    model = model_of({"a": list(short), "b": list(long), "c": [Letters(), Difference()]})

    assert model.max_seq_length == 32
    model.max_seq_length = 8
    assert (short.max_seq_length, long.max_seq_length) == (8, 8)
    unlimited = model_of({"c": [Letters(), Difference()]})
    assert unlimited.max_seq_length is None
    with pytest.raises(InputError, match="no route of this Router limits"):
        unlimited.max_seq_length = 8


def test_tokenizer_and_configuration_are_those_of_the_default_route() -> None:
    inside = load(GOLDEN / "bert_seqcls_1label" / "model")
    model = model_of({"a": [Letters(), Difference()], "b": list(inside)}, default_route="b")

    assert model.tokenizer is inside.tokenizer is model.processor
    assert model.config is inside.config
    assert model.model is inside.model
    assert model_of({"a": [Letters(), Difference()], "b": list(inside)}).tokenizer is None


def test_what_any_route_takes_the_model_takes() -> None:
    text, seen = Anything("text"), Anything("text", ("image", "text"), "message")

    assert model_of({"a": [text, Says(0)], "b": [seen, Says(0)]})[0].modalities == [
        ("image", "text"),
        "message",
        "text",
    ]


def test_printing_shows_default_rules_and_modules() -> None:
    rules = {(None, ("text", "image")): "b"}

    assert "default_route='a', route_mappings={(None, ('image', 'text')): 'b'}" in repr(
        model_of(routes("a", "b"), route_mappings=rules)
    )
    bare = repr(Router({"a": [Letters()]}, allow_empty_key=False))
    assert bare.splitlines()[1:3] == ["  (sub_modules): ModuleDict(", "    (a): Sequential("]


def test_the_modules_of_a_route_take_the_dtype_of_its_first() -> None:
    chain = load(GOLDEN / "pooling_mean" / "model", model_kwargs={"dtype": "bfloat16"})
    fresh = Dense(32, 1, module_output_name="scores")

    model = model_of({"a": [chain[0], chain[1], fresh], "b": [Letters(), Difference()]})

    assert fresh.linear.weight.dtype == torch.bfloat16
    assert np.isfinite(model.predict(PAIRS)).all()


def test_a_copy_and_a_pickle_route_like_the_original() -> None:
    model = model_of(routes("a", "b"), route_mappings={(None, "image"): "b"})

    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.predict([("a", "b"), ("a", PICTURE)], task=None).tolist() == [0, 1]


# -- what is refused when it is made --


@pytest.mark.parametrize(
    ("error", "words", "sub_modules", "options"),
    [
        (InputError, ["at least one route"], {}, {}),
        (InputError, ["sub_modules is None", '{"query": [module, …]}'], None, {}),
        (InputError, ["sub_modules is [Letters({})]"], [Letters()], {}),
        (ChainError, ["the route 'a' is not a list of modules"], {"a": []}, {}),
        (ChainError, ["the route 'a' is not a list of modules"], {"a": Letters()}, {}),
        (ChainError, ["the route 'a': module 1, ABCMeta is not a module"], {"a": [Letters(), Difference]}, {}),
        (ChainError, ["module 0, Linear is not a module: it lacks save"], {"a": [nn.Linear(1, 1)]}, {}),
        (InputError, ["a route is named 'a.b'", "without dots"], {"a.b": [Letters()]}, {}),
        (InputError, ["a route is named ''"], {"": [Letters()]}, {}),
        (InputError, ["a route is named 'keys'", "ModuleDict"], {"keys": [Letters()]}, {}),
        (InputError, ["a route is named 'training'"], {"training": [Letters()]}, {}),
        (InputError, ["a route is named 7"], {7: [Letters()]}, {}),
        (UnsafePathError, ["a route's name is '/etc/a'"], {"/etc/a": [Letters()]}, {}),
        (
            InputError,
            ["'fsat' is not one of the routes (did you mean 'fast'?)"],
            routes("fast"),
            {"default_route": "fsat"},
        ),
        (InputError, ["'b' is not one of", "are a"], routes("a"), {"route_mappings": {(None, "text"): "b"}}),
        (InputError, ["the key 'text'", "(task, modality)"], routes("a"), {"route_mappings": {"text": "a"}}),
        (InputError, ["the key (None, 5)"], routes("a"), {"route_mappings": {(None, 5): "a"}}),
        (InputError, ["the key (None, ())"], routes("a"), {"route_mappings": {(None, ()): "a"}}),
        (InputError, ["the key (0, 'text')"], routes("a"), {"route_mappings": {(0, "text"): "a"}}),
        (InputError, ["the key ('a', 'b', 'c')"], routes("a"), {"route_mappings": {("a", "b", "c"): "a"}}),
    ],
)
def test_what_makes_no_router_is_refused_at_once(error: Any, words: Any, sub_modules: Any, options: Any) -> None:
    refused(error, words, sub_modules, **options)
