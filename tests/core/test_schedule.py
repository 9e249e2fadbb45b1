"""Which inputs run together: each exactly once, one kind to a batch, of about one length, longest first."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from letters import Letters, letters_model

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain.schedule import longest_first, plan

inputs = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([None, "a", ("a", 1)])), max_size=30)


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


@given(inputs, st.integers(1, 8))
def test_every_input_is_in_one_batch_of_its_kind(inputs: list[tuple[int, object]], batch_size: int) -> None:
    sizes, keys = [size for size, _ in inputs], [key for _, key in inputs]

    batches = plan(sizes, keys, batch_size)

    assert sorted(position for batch in batches for position in batch) == list(range(len(inputs)))
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert len({keys[position] for position in batch}) == 1


@given(inputs, st.integers(1, 8))
def test_inputs_of_a_kind_go_from_long_to_short_and_fill_their_batches(
    inputs: list[tuple[int, object]], batch_size: int
) -> None:
    sizes, keys = [size for size, _ in inputs], [key for _, key in inputs]

    batches = plan(sizes, keys, batch_size)

    for key in set(keys):
        mine = [batch for batch in batches if keys[batch[0]] == key]
        order = [position for batch in mine for position in batch]
        # equal ones in the order given, so that a run can be repeated
        assert order == sorted(order, key=lambda position: (-sizes[position], position))
        assert all(len(batch) == batch_size for batch in mine[:-1])


def test_the_longest_input_of_all_runs_first() -> None:
    # too little memory then shows at once, and not after an hour
    assert plan([1, 5, 3, 9, 2], ["a", "a", "b", "b", "a"], 2) == [[3, 2], [1, 4], [0]]


def test_no_inputs_make_no_batches() -> None:
    assert plan([], [], 4) == []


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
