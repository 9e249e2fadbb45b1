"""Routers in one another and after one another: each chooses among its own routes, and all are told the task."""

from __future__ import annotations

import pytest
from letters import PAIRS, Difference, Letters
from route_models import PICTURE, SAID, Anything, Says, Scaled, model_of, routes

from pairchain.errors import InputError
from pairchain.modules import Router


def test_two_routers_in_a_row_choose_each_for_itself() -> None:
    reads = Router({"a": [Anything()], "b": [Anything()]}, route_mappings={(None, "image"): "b"})
    scores = Router({"a": [Says(0)], "t": [Says(1)]}, default_route="a")
    model = model_of(reads, scores)
    mixed = [("a", "b"), ("a", PICTURE), ("c", "d")]

    assert model.predict(mixed).tolist() == [0, 0, 0]
    # the first has no route of that name, but a rule for pictures
    assert model.predict(mixed[1:2], task="t").tolist() == [1]


def test_a_router_inside_a_router_chooses_among_its_own_routes() -> None:
    inner = Router(routes("x", "y"), default_route="x", route_mappings={(None, "image"): "y"})
    model = model_of({"deep": [inner], "flat": routes(z=2)["z"]}, route_mappings={("t", "text"): "flat"})

    mixed = [("a", "b"), ("a", PICTURE), ("c", "d")]
    assert model.predict(mixed).tolist() == model.predict(mixed, batch_size=1).tolist() == [0, 1, 0]
    assert model.predict(PAIRS[0], task="t") == 2


def test_a_task_that_one_router_chooses_by_leaves_the_others_to_modality_or_default() -> None:
    inner = Router(routes("x", "y", "z"), default_route="x", route_mappings={(None, "image"): "y", ("t", "text"): "z"})
    model = model_of({"deep": [inner], "flat": routes(f=3)["f"]}, default_route="flat")

    mixed = [("a", "b"), ("a", PICTURE), [SAID]]
    assert model.predict(mixed).tolist() == [3, 3, 3]
    # used up outside: inside the modality decides, or the default
    assert model.predict(mixed, task="deep").tolist() == [0, 1, 0]
    # known inside only: outside the default decides
    assert model.predict(mixed, task="y").tolist() == [3, 3, 3]
    behind = model_of({"deep": [inner], "flat": routes(f=3)["f"]})
    assert behind.predict(mixed, task="z").tolist() == [2, 1, 2]
    # a rule for some inputs only: the others take the default
    assert behind.predict(mixed, task="t").tolist() == [2, 1, 0]
    assert model.predict(mixed, task="flat").tolist() == [3, 3, 3]


def test_a_task_is_known_to_every_router_of_a_chain() -> None:
    heads = Router({"up": [Difference()], "down": [Says(-1)]}, default_route="up")
    inside = Router({"in": [Letters()], "image": [Letters()]})
    model = model_of(Router({"plain": [Letters(), Scaled()], "deep": [inside]}, default_route="deep"), heads)

    assert model.predict(PAIRS, task="plain").tolist() == model.predict(PAIRS, task="deep").tolist() == [-3, 2, 0, -3]
    assert model.predict(PAIRS, task="down").tolist() == [-1, -1, -1, -1]
    assert model.predict(PAIRS, task="in").tolist() == [-3, 2, 0, -3]


def test_a_task_that_leads_nowhere_in_a_nest_of_routers_is_refused_with_those_that_do() -> None:
    model = model_of({"deep": [Router(routes("fast", "slow"), route_mappings={("careful", None): "slow"})]})

    with pytest.raises(InputError) as caught:
        model.predict(PAIRS, task="slwo")

    assert "no route matches the task 'slwo' (did you mean 'slow'?)" in str(caught.value)
    assert "the routes are deep; other tasks are careful, fast, slow; pass task=" in caught.value.next_step


def test_a_known_task_that_leads_nowhere_here_needs_a_default() -> None:
    inner = Router(routes("x", "y"), allow_empty_key=False)
    model = model_of({"deep": [inner], "flat": routes(f=3)["f"]})

    with pytest.raises(
        InputError, match="input 0: no route matches the task 'deep' and an input of text, and there is"
    ):
        model.predict(PAIRS, task="deep")
    assert model.predict(PAIRS[0], task="y") == 1
