"""A pair that makes a module fail is named, and pairs that only fail together are scored apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

import pytest
import torch
from letters import Difference, Letters

from pairchain import CrossEncoder, Encoded, PairchainWarning
from pairchain.errors import ChainError

GOOD = [("a" * number, "b") for number in range(1, 9)]
BAD = ("a", "b" * 13)


class Superstitious(Difference):
    """A `Difference` that fails on thirteen letters, as a model does that never met such an input."""

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if (features["letters"] == 13).any():
            raise ZeroDivisionError("thirteen")
        return super().forward(features)


class Uniform(Difference):
    """A `Difference` of batches in which all documents are equally long."""

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if len(features["letters"][:, 1].unique()) > 1:
            raise ValueError("All examples must have the same number of letters.")
        return super().forward(features)


class Encoding(Letters):
    """`Letters` that encode first, and fail on an empty text."""

    def encode(self, inputs: Sequence[Any], prompt: str | None = None) -> list[Encoded]:
        if any(not document for _, document in inputs):
            raise IndexError("an empty text")
        return [Encoded((len(query), len(document)), len(document)) for query, document in inputs]

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        return {"letters": torch.tensor([item.values for item in items]).float()}


def model_of(head: torch.nn.Module, first: torch.nn.Module | None = None) -> CrossEncoder:
    return CrossEncoder(modules=[first or Letters(), head], device="cpu", activation_fn=torch.nn.Identity())


def named_by(error: BaseException) -> Any:
    """Return the inputs that an error names in its attribute, which its only such note names too."""
    notes = [note for note in error.__notes__ if note.startswith("while scoring")]
    assert notes == [f"while scoring input {error.pairchain_inputs[0]}"]  # type: ignore[attr-defined]
    return error.pairchain_inputs  # type: ignore[attr-defined]


@pytest.mark.parametrize("batch_size", ["auto", 1, 2, 3])
@pytest.mark.parametrize("place", [0, 3, 8])
def test_an_error_of_a_module_is_raised_unchanged_and_names_the_pair(batch_size: Any, place: int) -> None:
    with pytest.raises(ZeroDivisionError, match=r"^thirteen\n") as caught:
        model_of(Superstitious()).predict([*GOOD[:place], BAD, *GOOD[place:]], batch_size=batch_size)
    assert named_by(caught.value) == (place,)


def test_of_equal_pairs_the_first_is_named() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        model_of(Superstitious()).predict([GOOD[0], GOOD[0], BAD, GOOD[1], BAD])
    assert named_by(caught.value) == (2,)


def test_a_pair_of_a_stream_is_counted_from_the_beginning() -> None:
    stream = model_of(Superstitious()).predict_stream(chain(GOOD, [BAD], repeat(GOOD[0])), window=4)
    assert [next(stream) for _ in GOOD]
    with pytest.raises(ZeroDivisionError) as caught:
        next(stream)
    assert named_by(caught.value) == (8,)


def test_a_pair_that_cannot_be_encoded_is_named() -> None:
    with pytest.raises(IndexError, match="an empty text") as caught:
        model_of(Difference(), Encoding()).predict([*GOOD, ("a", ""), *GOOD])
    assert named_by(caught.value) == (8,)


def test_a_pair_that_has_no_batch_is_named() -> None:
    class Sorting(Letters):
        def batch_key(self, item: Any, **kwargs: Any) -> int:
            return 10 // len(item[1])

    with pytest.raises(ZeroDivisionError) as caught:
        model_of(Difference(), Sorting()).predict([*GOOD, ("a", ""), *GOOD])
    assert named_by(caught.value) == (8,)


def test_a_pair_that_does_not_fit_into_memory_is_named() -> None:
    class Large(Difference):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            if (features["letters"] == 13).any():
                raise torch.OutOfMemoryError("13 GiB")
            return super().forward(features)

    with pytest.warns(PairchainWarning, match="out of memory"), pytest.raises(torch.OutOfMemoryError) as caught:
        model_of(Large()).predict([*GOOD, BAD])
    assert named_by(caught.value) == (8,)


@pytest.mark.slow
def test_a_pair_is_named_across_processes() -> None:
    model = model_of(Superstitious())
    with model.start_multi_process_pool(["cpu"]) as pool, pytest.raises(ZeroDivisionError) as caught:
        model.predict([*GOOD, BAD], pool=pool, chunk_size=2)
    assert named_by(caught.value) == (8,)


def test_pairs_that_only_fail_together_get_their_scores_and_a_warning() -> None:
    pairs = [*GOOD, *((query, "bb") for query, _ in GOOD)]
    expected = [len(query) - len(document) for query, document in pairs]
    with pytest.warns(PairchainWarning, match=r"smaller ones: ValueError: All examples must have the same") as warned:
        assert model_of(Uniform()).predict(pairs).tolist() == expected
    assert len(warned) == 1


def test_an_error_of_pairchain_s_own_names_the_batch() -> None:
    class Forgetful(Difference):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            return {"letters": features["letters"]}

    with pytest.raises(ChainError, match="wrote no 'scores'") as caught:
        model_of(Forgetful()).predict(GOOD, batch_size=4)
    assert caught.value.pairchain_inputs == (4, 5, 6, 7)  # type: ignore[attr-defined]
    assert caught.value.__notes__ == ["while scoring 4 inputs together: 4, 5, 6, 7"]
