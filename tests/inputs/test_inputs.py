"""What may be passed in: one pair and a batch are never mistaken for each other, and everything else is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pairchain.errors import InputError
from pairchain.inputs.pairs import Inputs, as_documents, as_inputs, input_size
from pairchain.inputs.supported import check_supported

MESSAGE = {"role": "user", "content": "hello"}

pairs = st.tuples(st.text(), st.text())
batches = st.lists(st.one_of(pairs, pairs.map(list)), min_size=1)
nested = st.recursive(st.text(max_size=3), lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner))


class Picture:
    """Looks like an image: neither text nor anything that can be iterated."""

    size = (4, 3)


@pytest.mark.parametrize(
    "one",
    [
        ("a", "b"),
        ["a", "b"],
        np.array(["a", "b"]),
        np.array(["a", "b"], dtype=object),
        iter(("a", "b")),
    ],
    ids=["tuple", "list", "strings", "objects", "iterator"],
)
def test_two_texts_are_one_pair(one: Any) -> None:
    assert as_inputs(one) == Inputs([("a", "b")], single=True)


@pytest.mark.parametrize(
    "many",
    [
        [("a", "b"), ("c", "d")],
        (["a", "b"], ["c", "d"]),
        [["a", "b"], ("c", "d")],
        np.array([["a", "b"], ["c", "d"]]),
        np.array([["a", "b"], ["c", "d"]], dtype=object),
        [np.array(["a", "b"]), np.array(["c", "d"])],
        (pair for pair in [("a", "b"), ("c", "d")]),
        {"x": ("a", "b"), "y": ("c", "d")}.values(),
        zip(["a", "c"], ["b", "d"], strict=True),
    ],
    ids=["list", "tuple", "mixed", "strings", "objects", "arrays", "generator", "view", "zip"],
)
def test_pairs_in_anything_that_can_be_iterated_are_a_batch(many: Any) -> None:
    assert as_inputs(many) == Inputs([("a", "b"), ("c", "d")], single=False)


@pytest.mark.parametrize(
    "nothing",
    [[], (), np.array([]), np.array([], dtype=str), np.empty((0, 2), dtype=object), iter(())],
    ids=["list", "tuple", "floats", "strings", "rows", "iterator"],
)
def test_nothing_is_an_empty_batch(nothing: Any) -> None:
    assert as_inputs(nothing) == Inputs([], single=False)


def test_one_pair_in_a_list_is_a_batch_of_one() -> None:
    assert as_inputs([("a", "b")]) == as_inputs(np.array([["a", "b"]])) == Inputs([("a", "b")], single=False)


def test_an_array_of_numbers_is_one_half_of_a_pair() -> None:
    sound = np.zeros(3)
    batch = as_inputs([sound, "a text"])
    assert batch.single
    assert batch.items[0][0] is sound


@given(batches)
def test_a_batch_is_a_batch_in_every_container(batch: list[Any]) -> None:
    expected = Inputs([tuple(pair) for pair in batch], single=False)
    assert as_inputs(batch) == as_inputs(tuple(batch)) == as_inputs(iter(batch)) == expected


@given(pairs)
def test_a_pair_is_a_pair_in_every_container(pair: tuple[str, str]) -> None:
    expected = Inputs([pair], single=True)
    assert as_inputs(pair) == as_inputs(list(pair)) == as_inputs(iter(pair)) == expected


@given(nested)
def test_nested_texts_are_a_batch_exactly_when_the_first_element_is_a_row(inputs: Any) -> None:
    rows = [] if isinstance(inputs, str) else [isinstance(item, (list, tuple)) for item in inputs]
    if isinstance(inputs, str) or (rows and not rows[0] and len(inputs) != 2):
        refused = True
    else:
        refused = any(rows[:1]) and not all(row and len(item) == 2 for row, item in zip(rows, inputs, strict=True))
    if refused:
        with pytest.raises(InputError):
            as_inputs(inputs)
    elif rows and not rows[0]:
        assert as_inputs(inputs) == Inputs([tuple(inputs)], single=True)
    else:
        assert as_inputs(inputs) == Inputs([tuple(item) for item in inputs], single=False)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("a text", "the str 'a text' is not a pair"),
        (b"bytes", "an object of type bytes is not a pair"),
        (None, "None is not a pair"),
        (7, "the int 7 is not a pair"),
        ({"query": "a", "text": "b"}, "the dict {'query': 'a', 'text': 'b'} is not a pair"),
        ({"a"}, "an object of type set is not a pair"),
        (frozenset({("a", "b")}), "an object of type frozenset is not a pair"),
        pytest.param(Picture(), "an object of type Picture is not a pair", id="picture"),
        (np.array("a"), "the str 'a' is not a pair"),
        (np.zeros((2, 2)), "an array of float64, not of strings"),
        (["a"], "the input has 1 element, not 2: the list ['a']"),
        (("a", "b", "c"), "the input has 3 elements, not 2: the tuple ('a', 'b', 'c')"),
        ([("a", "b"), ("c",)], "input 1 has 1 element, not 2: the tuple ('c',)"),
        ([("a", "b"), ["c", "d", "e"]], "input 1 has 3 elements, not 2: the list ['c', 'd', 'e']"),
        ([[]], "input 0 has 0 elements, not 2"),
        ([("a", "b"), "c"], "input 1 is the str 'c', not a pair"),
        ([("a", "b"), None], "input 1 is None, not a pair"),
        ([("a", "b"), {"text": "c"}], "input 1 is the dict {'text': 'c'}, not a pair"),
        (np.array([["a"], ["b"]]), "input 0 has 1 element, not 2"),
    ],
    ids=str,
)
def test_what_is_no_pair_is_refused_with_what_it_is_and_what_a_pair_is(wrong: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        as_inputs(wrong)
    assert said in refused.value.what
    assert "a pair is two elements" in refused.value.next_step


def test_a_long_input_is_shown_shortened() -> None:
    with pytest.raises(InputError) as refused:
        as_inputs("x" * 10_000)
    assert len(str(refused.value)) < 300


def test_messages_are_one_conversation_and_lists_of_messages_are_several() -> None:
    assert as_inputs([MESSAGE, MESSAGE, MESSAGE]) == Inputs([[MESSAGE, MESSAGE, MESSAGE]], single=True)
    assert as_inputs([[MESSAGE], [MESSAGE]]) == Inputs([[MESSAGE], [MESSAGE]], single=False)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([("a", "b"), ("a", None)], "input 1, element 1 is None"),
        ([("a", "b"), (b"a", "b")], "input 1, element 0 is an object of type bytes"),
        pytest.param([(Picture(), "b")], "input 0, element 0 is an object of type Picture", id="picture in a pair"),
        ([("a", 3)], "input 0, element 1 is the int 3"),
        ([(np.zeros(3), "b")], "input 0, element 0 is audio; this model takes text"),
        ([("a", {"image": "b"})], "input 0, element 1 is image; this model takes text"),
        ([("a", ["b"])], "input 0, element 1 is the list ['b']"),
        ([("a", "b"), [MESSAGE]], "input 1 is a conversation"),
    ],
    ids=["none", "bytes", "image", "number", "sound", "dict", "list", "conversation"],
)
def test_a_text_model_refuses_whatever_is_no_text_and_says_where_it_is(items: list[Any], said: str) -> None:
    with pytest.raises(InputError, match="text") as refused:
        check_supported(items, ["text"])
    assert said in refused.value.what
    assert refused.value.next_step


def test_a_program_reads_from_the_error_which_input_and_which_side_of_it_is_wrong() -> None:
    for items, place in (
        ([("a", "b"), ("a", None)], (1, 1)),
        ([("a", "b"), ("a", "b"), (np.zeros(3), "b")], (2, 0)),
        ([("a", "b"), [MESSAGE]], (1, None)),
    ):
        with pytest.raises(InputError) as refused:
            check_supported(items, ["text"])
        assert (refused.value.index, refused.value.element) == place
    for items, index in (([("a", "b"), "c"], 1), ([("a", "b"), ("c",)], 1), (["a"], None)):
        with pytest.raises(InputError) as refused:
            as_inputs(items)
        assert (refused.value.index, refused.value.element) == (index, None)


def test_numpy_strings_are_texts() -> None:
    check_supported(as_inputs([(np.str_("a"), np.str_("b"))]).items, ["text"])


@pytest.mark.parametrize("documents", ["berlin", b"berlin", {"text": "berlin"}, {"a"}, 3, None], ids=repr)
def test_what_is_no_list_of_documents_is_refused(documents: Any) -> None:
    with pytest.raises(InputError) as refused:
        as_documents(documents)
    assert "documents is" in refused.value.what
    assert "pass a list of documents" in refused.value.next_step


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("four", 4),
        (("ab", "c"), 3),
        ([{"role": "a long role", "content": "abc"}], 3),
        (np.zeros((2, 5)), 10),
        (torch.zeros(2, 3), 6),
        (Picture(), 12),
        (object(), 1),
    ],
    ids=["text", "pair", "conversation", "array", "tensor", "image", "anything"],
)
def test_every_input_has_a_size_to_sort_by(item: Any, expected: int) -> None:
    assert input_size(item) == expected
