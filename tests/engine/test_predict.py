"""What predict returns: one score a pair, in order, in the form asked for, whatever runs together with what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from letters import PAIRS, Difference, Letters, letters_model
from torch import nn

from pairchain import CrossEncoder
from pairchain.errors import InputError, NonFiniteScoresError, UnknownKeywordError

GOLDEN = Path(__file__).parents[1] / "golden"
DIFFERENCES = [-3.0, 2.0, 0.0, -3.0]
EIGHT = [(f"how many people live in city {'very ' * n}far", "berlin is well known . " * (7 - n)) for n in range(8)]

texts = st.text("abcdefgh ", max_size=30)


@pytest.fixture(scope="module")
def bert() -> CrossEncoder:
    return CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", device="cpu")


@pytest.fixture(scope="module")
def three_labels() -> CrossEncoder:
    return CrossEncoder(GOLDEN / "bert_seqcls_3labels" / "model", device="cpu")


def two_labels(letters: torch.Tensor) -> torch.Tensor:
    return letters


def bent_to(value: float) -> CrossEncoder:
    """Return a model that gives the first and the last of `PAIRS` the score ``value``."""
    return letters_model(lambda letters: torch.where(letters[:, 1] - letters[:, 0] == 3, value, letters[:, 0]))


# -- the form of the result --


def test_scores_of_one_label_are_a_float32_array_of_one_dimension() -> None:
    scores = letters_model().predict(PAIRS)
    assert isinstance(scores, np.ndarray)
    assert scores.dtype == np.float32
    assert scores.tolist() == DIFFERENCES


def test_scores_of_several_labels_have_a_row_for_each_pair() -> None:
    scores = letters_model(two_labels).predict(PAIRS)
    assert scores.dtype == np.float32
    assert scores.tolist() == [[1, 4], [3, 1], [2, 2], [0, 3]]


def test_one_pair_gets_one_score_without_a_dimension_for_the_batch() -> None:
    score = letters_model().predict(PAIRS[1])
    assert isinstance(score, np.float32)
    assert score == 2.0
    assert letters_model(two_labels).predict(list(PAIRS[1])).tolist() == [3, 1]


def test_a_batch_of_one_keeps_its_dimension() -> None:
    assert letters_model().predict([PAIRS[1]]).tolist() == [2.0]
    assert letters_model(two_labels).predict([PAIRS[1]]).shape == (1, 2)


@pytest.mark.parametrize("to_numpy", [True, False])
def test_convert_to_tensor_returns_one_tensor_whatever_convert_to_numpy_says(to_numpy: bool) -> None:
    model = letters_model()
    scores = model.predict(PAIRS, convert_to_tensor=True, convert_to_numpy=to_numpy)
    assert isinstance(scores, torch.Tensor)
    assert scores.dtype == torch.float32
    assert scores.tolist() == DIFFERENCES
    assert model.predict(PAIRS[1], convert_to_tensor=True).shape == ()
    assert letters_model(two_labels).predict(PAIRS[1], convert_to_tensor=True).shape == (2,)


def test_neither_array_nor_tensor_is_a_list_of_tensors() -> None:
    scores = letters_model().predict(PAIRS, convert_to_numpy=False)
    assert isinstance(scores, list)
    assert [(type(score), score.shape, score.item()) for score in scores] == [
        (torch.Tensor, (), value) for value in DIFFERENCES
    ]
    assert letters_model().predict(PAIRS[1], convert_to_numpy=False).shape == ()
    assert [row.shape for row in letters_model(two_labels).predict(PAIRS, convert_to_numpy=False)] == [(2,)] * 4


@pytest.mark.parametrize("empty", [[], (), np.array([]), iter(())], ids=["list", "tuple", "array", "iterator"])
def test_no_pairs_get_no_scores(empty: Any) -> None:
    scores = letters_model().predict(empty)
    assert isinstance(scores, np.ndarray)
    assert scores.shape == (0,)


def test_no_pairs_get_no_scores_in_every_form() -> None:
    tensor = letters_model(two_labels).predict([], convert_to_tensor=True, apply_softmax=True)
    assert (tensor.shape, tensor.dtype) == ((0,), torch.float32)
    assert letters_model().predict([], convert_to_numpy=False) == []


def test_a_generator_is_scored_like_its_list() -> None:
    assert letters_model().predict(pair for pair in PAIRS).tolist() == DIFFERENCES


def test_softmax_makes_the_labels_of_each_pair_sum_to_one(three_labels: CrossEncoder) -> None:
    plain = three_labels.predict(EIGHT)
    soft = three_labels.predict(EIGHT, apply_softmax=True)
    assert soft.shape == (8, 3)
    np.testing.assert_allclose(soft.sum(axis=1), np.ones(8), atol=1e-6)
    assert (soft.argmax(axis=1) == plain.argmax(axis=1)).all()


@pytest.mark.parametrize("apply", [True, None, False])
def test_softmax_leaves_a_single_label_as_it_is(apply: bool | None) -> None:
    assert letters_model().predict(PAIRS, apply_softmax=apply).tolist() == DIFFERENCES


def test_half_precision_scores_become_float32_before_the_activation() -> None:
    model = letters_model(lambda letters: (letters[:, 0] - letters[:, 1]).bfloat16())
    seen: list[torch.dtype] = []
    assert model.predict(PAIRS, activation_fn=lambda scores: seen.append(scores.dtype) or scores).dtype == np.float32
    assert seen == [torch.float32]


# -- what runs together --


@pytest.mark.parametrize("size", [0, -1, "x", 2.0, None])
def test_a_batch_size_that_is_no_positive_whole_number_is_refused(size: Any) -> None:
    with pytest.raises(InputError, match=f"batch_size must be a positive integer, got {size!r}"):
        letters_model().predict(PAIRS, batch_size=size)


@pytest.mark.parametrize("size", [1, np.int64(3), 1000])
def test_scores_come_back_in_the_order_of_the_pairs(size: Any) -> None:
    assert letters_model().predict(PAIRS * 5, batch_size=size).tolist() == DIFFERENCES * 5


def test_a_batch_never_holds_more_pairs_than_its_size() -> None:
    batches: list[int] = []
    model = letters_model(lambda letters: batches.append(len(letters)) or letters[:, 0])
    model.predict(PAIRS, batch_size=3)
    assert sorted(batches) == [1, 3]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), st.integers(1, 9), st.randoms(use_true_random=False))
def test_a_score_depends_on_nothing_but_its_pair(
    bert: CrossEncoder, pairs: list[tuple[str, str]], size: int, random: Any
) -> None:
    alone = {pair: bert.predict(pair) for pair in pairs}
    shuffled = random.sample(pairs * 2, 2 * len(pairs))
    expected = [alone[pair] for pair in shuffled]
    np.testing.assert_allclose(bert.predict(shuffled, batch_size=size), expected, atol=1e-5)


def test_predicting_twice_gives_equal_scores(bert: CrossEncoder) -> None:
    assert np.array_equal(bert.predict(EIGHT), bert.predict(EIGHT))


def test_a_model_in_training_mode_is_switched_to_evaluation() -> None:
    model = CrossEncoder(
        GOLDEN / "bert_seqcls_1label" / "model", config_kwargs={"hidden_dropout_prob": 0.5}, device="cpu"
    )
    expected = model.predict(EIGHT)
    model.train()
    assert np.array_equal(model.predict(EIGHT), expected)
    assert not model.training


def test_threads_share_a_model(bert: CrossEncoder) -> None:
    expected = bert.predict(EIGHT)
    with ThreadPoolExecutor(2) as pool:
        for scores in pool.map(lambda size: bert.predict(EIGHT, batch_size=size), [1, 2, 3, 4] * 4):
            np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_scores_carry_no_gradient(bert: CrossEncoder) -> None:
    assert not bert.predict(EIGHT, convert_to_tensor=True).requires_grad


def test_hooks_on_the_model_see_every_batch(bert: CrossEncoder) -> None:
    seen: list[int] = []
    handle = bert.register_forward_hook(lambda module, args, features: seen.append(len(features["scores"])))
    bert.predict(EIGHT, batch_size=5)
    handle.remove()
    assert seen == [5, 3]


def test_a_progress_bar_is_shown_when_asked_for_and_not_in_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    letters_model().predict(PAIRS)
    letters_model().predict(PAIRS, show_progress_bar=False)
    assert capfd.readouterr().err == ""
    letters_model().predict(PAIRS, show_progress_bar=True)
    assert "4/4" in capfd.readouterr().err


def test_a_text_model_refuses_what_is_no_text_before_it_scores_anything() -> None:
    batches: list[int] = []
    model = CrossEncoder(modules=[Letters(), Difference()])
    model.register_forward_hook(lambda module, args, features: batches.append(len(features["scores"])))
    with pytest.raises(InputError, match="input 5, element 1 is None"):
        model.predict([*PAIRS, ("a", "b"), ("a", None)], batch_size=1)
    assert batches == []


# -- keywords --


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("batchsize", "batch_size"), ("promt", "prompt"), ("processing_kwarg", "processing_kwargs")]
)
def test_an_unknown_keyword_is_refused_with_the_nearest_that_exists(
    bert: CrossEncoder, wrong: str, nearest: str
) -> None:
    with pytest.raises(UnknownKeywordError, match=f"{wrong!r}.*did you mean {nearest!r}") as refused:
        bert.predict(EIGHT, **{wrong: None})
    assert "processing_kwargs" in refused.value.next_step


def test_an_unknown_keyword_is_a_type_error_like_any_other() -> None:
    with pytest.raises(TypeError, match="'colour'"):
        letters_model().predict(PAIRS, colour="red")


def test_processing_kwargs_hold_for_one_call(bert: CrossEncoder) -> None:
    expected = bert.predict(EIGHT)
    cut = bert.predict(EIGHT, processing_kwargs={"text": {"max_length": 6}})
    assert not np.allclose(cut, expected)
    assert np.array_equal(bert.predict(EIGHT, max_length=6), cut)
    assert np.array_equal(bert.predict(EIGHT), expected)


@pytest.mark.parametrize(
    ("older", "today"),
    [({"sentences": PAIRS}, "inputs"), ({"inputs": PAIRS, "activation_fct": torch.tanh}, "activation_fn")],
    ids=["sentences", "activation_fct"],
)
def test_older_names_of_arguments_work_with_a_warning(older: dict[str, Any], today: str) -> None:
    with pytest.warns(FutureWarning, match=f"is called {today} today") as warned:
        scores = letters_model().predict(**older)
    expected = np.tanh(DIFFERENCES) if today == "activation_fn" else DIFFERENCES
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert Path(warned[0].filename) == Path(__file__)


def test_num_workers_is_ignored_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="num_workers has no effect"):
        assert letters_model().predict(PAIRS, num_workers=4).tolist() == DIFFERENCES


# -- scores that are not numbers --


not_finite = pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])


@not_finite
def test_a_score_that_is_no_number_raises_and_says_of_which_pairs(value: float) -> None:
    with pytest.raises(NonFiniteScoresError) as refused:
        bent_to(value).predict(PAIRS, batch_size=2)
    assert refused.value.indices == (0, 3)
    assert "2 of 4 pairs" in str(refused.value)
    assert "pairs 0, 3" in str(refused.value)
    assert "allow_non_finite=True" in refused.value.next_step


@not_finite
def test_an_activation_does_not_hide_such_a_score(value: float) -> None:
    with pytest.raises(NonFiniteScoresError):
        bent_to(value).predict(PAIRS, activation_fn=nn.Sigmoid())


@not_finite
def test_scores_that_are_no_numbers_are_returned_when_allowed(value: float) -> None:
    scores = bent_to(value).predict(PAIRS, allow_non_finite=True)
    np.testing.assert_array_equal(scores, [value, 3.0, 2.0, value])


def test_an_activation_that_makes_scores_infinite_is_caught() -> None:
    with pytest.raises(NonFiniteScoresError) as refused:
        letters_model().predict(PAIRS, activation_fn=lambda scores: 1 / scores)
    assert refused.value.indices == (2,)


def test_many_pairs_without_a_score_are_counted_and_not_all_listed() -> None:
    with pytest.raises(NonFiniteScoresError, match="40 of 40 pairs") as refused:
        letters_model(lambda letters: letters[:, 0] / 0).predict([("a", "b")] * 40)
    assert len(refused.value.indices) == 40
    assert len(str(refused.value)) < 300


class Picky(Letters):
    """`Letters` that refuse a text, and say which input of their batch it is in."""

    def preprocess(self, inputs: Any, prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        for index, (_, document) in enumerate(inputs):
            if document == "refused":
                raise InputError("nobody reads that.", next_step="leave it out.", index=index, element=1)
        return super().preprocess(inputs, prompt, **kwargs)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_an_input_that_a_module_refuses_is_named_by_its_place_in_the_call(batch_size: int) -> None:
    model = CrossEncoder(modules=[Picky(), Difference()], device="cpu")

    # inputs run longest first, so the place in a batch is another
    with pytest.raises(InputError) as refused:
        model.predict([*EIGHT[:5], ("a", "refused"), *EIGHT[5:]], batch_size=batch_size)
    with pytest.raises(InputError, match=r"^input 2, element 1: nobody reads that\."):
        model.rank("a", ["b", "a long text", "refused", "b"], batch_size=batch_size)

    assert str(refused.value).startswith("input 5, element 1: nobody reads that.\n")
    assert (refused.value.index, refused.value.element) == (5, 1)
    assert refused.value.next_step == "leave it out."
