"""Which inputs run together: each exactly once, one kind to a batch, of about one length, longest first."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from letters import Letters, letters_model

from pairchain import CrossEncoder, Encoded
from pairchain.engine.schedule import Budget, longest_first, plan
from pairchain.errors import InputError

inputs = st.lists(st.builds(Encoded, st.none(), st.integers(0, 9), st.sampled_from([None, "a", ("a", 1)])), max_size=30)


def batches_of(items: list[Encoded], *, pairs: int | None = None, tokens: int = 10**9) -> list[list[int]]:
    return plan(items, range(len(items)), Budget(tokens, pairs))


def encoded(*items: tuple[int, str]) -> list[Encoded]:
    return [Encoded(None, length, key) for length, key in items]


class Sorted(Letters):
    """Keeps pairs whose first texts begin differently apart, and remembers the batches it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[tuple[str, str]]] = []

    def batch_key(self, item: tuple[str, str], **kwargs: Any) -> str:
        if not item[0]:
            raise InputError("its first text is empty.", next_step="ask something.")
        return item[0][0]

    def preprocess(
        self, inputs: list[tuple[str, str]], prompt: str | None = None, **kwargs: object
    ) -> dict[str, object]:
        self.batches.append(list(inputs))
        return super().preprocess(inputs, prompt)


def sorted_model() -> tuple[Sorted, CrossEncoder]:
    module, head = Sorted(), letters_model()[1]
    return module, CrossEncoder(modules=[module, head], activation_fn=torch.nn.Identity())


@given(inputs, st.integers(1, 8), st.integers(1, 40))
def test_every_input_is_in_one_batch_of_its_kind(items: list[Encoded], pairs: int, tokens: int) -> None:
    batches = batches_of(items, pairs=pairs, tokens=tokens)

    assert sorted(position for batch in batches for position in batch) == list(range(len(items)))
    for batch in batches:
        assert 1 <= len(batch) <= pairs
        assert len({items[position].key for position in batch}) == 1


@given(inputs, st.integers(1, 40))
def test_no_batch_is_larger_than_the_budget_unless_it_is_one_input(items: list[Encoded], tokens: int) -> None:
    for batch in batches_of(items, tokens=tokens):
        assert len(batch) == 1 or len(batch) * max(items[position].length for position in batch) <= tokens


@given(inputs, st.integers(1, 8))
def test_inputs_of_a_kind_go_from_long_to_short_and_fill_their_batches(items: list[Encoded], pairs: int) -> None:
    batches = batches_of(items, pairs=pairs)

    for key in {item.key for item in items}:
        mine = [batch for batch in batches if items[batch[0]].key == key]
        order = [position for batch in mine for position in batch]
        # equal ones in the order given, so that a run can be repeated
        assert order == sorted(order, key=lambda position: (-items[position].length, position))
        assert all(len(batch) == pairs for batch in mine[:-1])


def test_the_longest_input_of_all_runs_first() -> None:
    # too little memory then shows at once, and not after an hour
    items = encoded((1, "a"), (5, "a"), (3, "b"), (9, "b"), (2, "a"))
    assert batches_of(items, pairs=2) == [[3, 2], [1, 4], [0]]


def test_some_of_the_inputs_can_be_planned_again() -> None:
    items = encoded((1, "a"), (5, "a"), (3, "a"))
    assert plan(items, [2, 0], Budget(3)) == [[2], [0]]


def test_no_inputs_make_no_batches() -> None:
    assert batches_of([]) == []


@given(st.lists(st.integers(0, 2**40), max_size=20))
def test_longest_first_is_stable(sizes: list[int]) -> None:
    assert longest_first(sizes) == sorted(range(len(sizes)), key=lambda position: (-sizes[position], position))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_an_input_module_keeps_kinds_apart_and_scores_come_back_in_order(batch_size: int) -> None:
    module, model = sorted_model()
    pairs = [("a", "1"), ("b", "22"), ("aaa", "1"), ("bbbb", ""), ("aa", "55555")]

    scores = model.predict(pairs, batch_size=batch_size)

    assert scores.tolist() == [len(first) - len(second) for first, second in pairs]
    assert all(len({first[0] for first, _ in batch}) == 1 for batch in module.batches)
    assert max(map(len, module.batches)) == min(batch_size, 3)


def test_an_input_that_a_module_refuses_is_named_by_its_place_in_the_call() -> None:
    _, model = sorted_model()

    with pytest.raises(InputError) as caught:
        model.predict([("a", "long" * 9), ("b", "b"), ("", "short")])

    assert str(caught.value) == "input 2: its first text is empty.\n  next:  ask something."
