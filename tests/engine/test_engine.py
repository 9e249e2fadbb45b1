"""How a call is scored: each different pair once, encoded once, in batches of a number of tokens, in input order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from letters import PAIRS, Difference, Letters, letters_model

from pairchain import CrossEncoder, Encoded
from pairchain.errors import ChainError, InputError, OutOfMemoryWarning

texts = st.text("ab", max_size=6)


class Encoding(Letters):
    """Encodes every pair as its letters, and remembers what it was asked to encode and to collate."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[tuple[str, str]] = []
        self.batches: list[list[Any]] = []

    def encode(self, inputs: Sequence[tuple[str, str]], prompt: str | None = None) -> list[Encoded] | None:
        self.encoded += inputs
        for index, item in enumerate(inputs):
            if "!" in item[0]:
                raise InputError("it shouts.", index=index)
        return [Encoded((len((prompt or "") + first), len(second)), len(first + second)) for first, second in inputs]

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        self.batches.append([item.values for item in items])
        return {"letters": torch.tensor([item.values for item in items]).float()}


class Crowded(Difference):
    """Runs out of memory with more than a number of pairs, as a device does."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.sizes: list[int] = []

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        self.sizes.append(len(features["letters"]))
        if self.sizes[-1] > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(features)


def encoding_model(head: Difference | None = None, **options: Any) -> tuple[Encoding, CrossEncoder]:
    module = Encoding()
    options.setdefault("activation_fn", torch.nn.Identity())
    return module, CrossEncoder(modules=[module, head or Difference()], **options)


def difference(pairs: Sequence[tuple[str, str]]) -> list[int]:
    return [len(first) - len(second) for first, second in pairs]


@given(st.lists(st.tuples(texts, texts), min_size=1), st.integers(1, 30), st.none() | st.integers(1, 4))
def test_scores_come_in_input_order_whatever_runs_together(
    pairs: list[tuple[str, str]], tokens: int, batch_size: int | None
) -> None:
    _, model = encoding_model(tokens_per_batch=tokens)

    assert model.predict(pairs, batch_size=batch_size or "auto").tolist() == difference(pairs)


def test_a_pair_is_encoded_and_scored_once_however_often_it_comes() -> None:
    module, model = encoding_model()

    scores = model.predict([("a", "bb"), ("aaa", "b"), ("a", "bb"), ("a", "bb")])

    assert scores.tolist() == [-1, 2, -1, -1]
    assert module.encoded == [("a", "bb"), ("aaa", "b")]
    assert sum(map(len, module.batches)) == 2


def test_a_batch_holds_as_many_tokens_as_it_may() -> None:
    module, model = encoding_model(tokens_per_batch=8)

    model.predict([("a", "a"), ("aa", "aa"), ("aaa", ""), ("", "a")])

    assert module.batches == [[(2, 2), (3, 0)], [(1, 1), (0, 1)]]


def test_a_batch_size_limits_the_pairs_of_a_batch() -> None:
    module, model = encoding_model()

    model.predict([("a", str(number)) for number in range(5)], batch_size=2)

    assert [len(batch) for batch in module.batches] == [2, 2, 1]


def test_an_input_module_that_only_preprocesses_gets_32_pairs_at_a_time() -> None:
    sizes = []
    model = letters_model(lambda letters: sizes.append(len(letters)) or letters[:, 0])

    model.predict([("a" * number, "") for number in range(70)])

    assert sizes == [32, 32, 6]


def test_the_prompt_reaches_what_is_encoded() -> None:
    _, model = encoding_model()

    assert model.predict([("a", "bb")], prompt="xyz ").tolist() == [3]


def test_a_module_may_leave_some_calls_to_preprocess() -> None:
    class Undecided(Encoding):
        def encode(self, inputs: Sequence[tuple[str, str]], prompt: str | None = None) -> list[Encoded] | None:
            return None

    module = Undecided()
    model = CrossEncoder(modules=[module, Difference()], activation_fn=torch.nn.Identity())

    assert model.predict(PAIRS).tolist() == difference(PAIRS)
    assert not module.batches


def test_what_is_encoded_is_counted() -> None:
    class Short(Encoding):
        def encode(self, inputs: Sequence[tuple[str, str]], prompt: str | None = None) -> list[Encoded] | None:
            return super().encode(inputs[1:], prompt)

    model = CrossEncoder(modules=[Short(), Difference()])

    with pytest.raises(ChainError, match=r"Short: encode returned .* for 4 inputs"):
        model.predict(PAIRS)


def test_an_input_that_cannot_be_encoded_is_named_by_its_place_in_the_call() -> None:
    _, model = encoding_model()

    # the first two are one
    with pytest.raises(InputError, match="input 3: it shouts"):
        model.predict([("a", "b"), ("a", "b"), ("c", "d"), ("e!", "f")])


def test_a_chain_with_a_preprocess_of_its_own_is_asked_for_nothing_else() -> None:
    class Louder(CrossEncoder):
        def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
            return super().preprocess([(first + "!!", second) for first, second in inputs], prompt, **kwargs)

    model = Louder(modules=[Encoding(), Difference()], activation_fn=torch.nn.Identity())

    assert model.predict([("a", "b")]).tolist() == [2]


def test_a_device_out_of_memory_gets_smaller_batches_and_is_told_of_once() -> None:
    head = Crowded(most=3)
    _, model = encoding_model(head)
    pairs = [("a" * number, "b") for number in range(16)]

    with pytest.warns(OutOfMemoryWarning, match="with a batch of 16 pairs") as warned:
        scores = model.predict(pairs)

    assert scores.tolist() == difference(pairs)
    assert head.sizes[:3] == [16, 8, 4]
    assert max(head.sizes[3:]) <= 3
    assert len([warning for warning in warned if "out of memory" in str(warning.message)]) == 1
    assert warned[0].filename == __file__


def test_a_device_without_memory_for_one_pair_says_so() -> None:
    _, model = encoding_model(Crowded(most=0))

    with pytest.raises(torch.OutOfMemoryError):
        model.predict([("a", "b")])


def test_a_generator_is_scored_as_a_list_is() -> None:
    def pairs() -> Iterator[tuple[str, str]]:
        yield from PAIRS

    assert letters_model().predict(pairs()).tolist() == difference(PAIRS)


def test_a_stream_that_never_ends_is_scored_a_window_at_a_time() -> None:
    read = 0

    def endless() -> Iterator[tuple[str, str]]:
        nonlocal read
        while True:
            read += 1
            yield "a" * (read % 7), "b"

    scores = letters_model().predict_stream(endless(), window=10)

    assert [next(scores) for _ in range(25)] == [number % 7 - 1 for number in range(1, 26)]
    assert read == 30


@given(st.lists(st.tuples(texts, texts)), st.integers(1, 5))
def test_a_stream_gives_the_scores_of_a_call(pairs: list[tuple[str, str]], window: int) -> None:
    model = letters_model()

    assert list(model.predict_stream(pairs, window=window)) == list(model.predict(pairs))


def test_a_stream_of_several_labels_yields_rows() -> None:
    model = letters_model(lambda letters: letters)

    (row,) = model.predict_stream([("a", "bb")])

    assert isinstance(row, np.ndarray)
    assert row.tolist() == [1, 2]


def test_a_stream_counts_its_inputs_from_the_beginning() -> None:
    scores = letters_model().predict_stream([("a", "b")] * 7 + [("a",)], window=3)

    with pytest.raises(InputError, match="input 7 has 1 element"):
        list(scores)
    with pytest.raises(InputError, match="holds no pairs"):
        letters_model().predict_stream("a b")
    with pytest.raises(InputError, match="window must be a positive integer"):
        letters_model().predict_stream([], window=0)


def test_many_queries_are_ranked_as_each_is() -> None:
    model = letters_model()
    queries = ["aaaa", "a", "aa"]
    documents = [["b", "bbb", "bb"], [], ["bbbb", "b"]]

    ranked = model.rank_many(queries, documents, top_k=2, return_documents=True)

    assert ranked == [
        model.rank(query, some, top_k=2, return_documents=True) for query, some in zip(queries, documents, strict=True)
    ]
    assert [hit["corpus_id"] for hit in ranked[0]] == [0, 2]


def test_the_pairs_of_many_queries_run_together() -> None:
    module, model = encoding_model()

    model.rank_many(["a", "aa"], [["b", "c"], ["b", "c"]])

    assert len(module.batches) == 1


@pytest.mark.parametrize(
    ("queries", "documents", "told"),
    [
        (["a"], [["b"], ["c"]], "1 queries and 2 lists of documents"),
        ("a", [["b"]], "queries is the str 'a'"),
        (["a"], ["b"], "documents is the str 'b'"),
    ],
)
def test_what_cannot_be_ranked_is_told(queries: Any, documents: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        letters_model().rank_many(queries, documents)


@pytest.mark.parametrize("value", [0, -1, "many", 1.5, True])
def test_a_budget_is_a_number_of_tokens(value: Any) -> None:
    with pytest.raises(InputError, match="tokens_per_batch must be a positive integer"):
        letters_model(tokens_per_batch=value)


def test_a_probe_keeps_a_budget_that_was_tried() -> None:
    module, model = encoding_model()

    tokens = model.probe_tokens_per_batch(PAIRS, candidates=[2, 8])

    assert model.tokens_per_batch == tokens
    assert tokens in (2, 8)
    assert {len(batch) for batch in module.batches} >= {1, 2}
    assert model.predict(PAIRS).tolist() == difference(PAIRS)


def test_a_probe_leaves_out_what_does_not_fit_into_memory() -> None:
    _, model = encoding_model(Crowded(most=1))

    assert model.probe_tokens_per_batch(PAIRS, candidates=[1, 1000]) == 1


def test_a_probe_that_fails_leaves_the_budget_as_it_was() -> None:
    _, model = encoding_model(tokens_per_batch=7)

    for pairs, candidates, told in [
        ([], [1], "needs pairs and candidates"),
        (PAIRS, [0], "positive"),
        ([("a!", "b")], [1], "shouts"),
    ]:
        with pytest.raises(InputError, match=told):
            model.probe_tokens_per_batch(pairs, candidates=candidates)
        assert model.tokens_per_batch == 7


@pytest.mark.parametrize("value", [0, -1, "many", 1.5, True])
def test_a_budget_that_is_set_later_is_a_number_of_tokens_as_well(value: Any) -> None:
    model = letters_model(tokens_per_batch=7)

    with pytest.raises(InputError, match="tokens_per_batch must be a positive integer"):
        model.tokens_per_batch = value

    assert model.tokens_per_batch == 7
    model.tokens_per_batch = np.int64(9)
    assert (model.tokens_per_batch, type(model.tokens_per_batch)) == (9, int)
    model.tokens_per_batch = None
    assert model.tokens_per_batch is None
