"""Inputs of several calls in the same batches: the scores of predict, and errors that stay with their call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import GOLDEN

from pairchain import CrossEncoder
from pairchain.authoring import Outcome, Prepared, Together
from pairchain.errors import InputError, NonFiniteScoresError

WORDS = "how many people live in berlin ? a monkey is playing drums .".split()


def pairs(count: int, seed: int) -> list[tuple[str, str]]:
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 30))) for _ in range(2 * count)]
    return list(zip(texts[::2], texts[1::2], strict=True))


def score(together: Together, *calls: Prepared) -> list[Any]:
    """The scores of calls whose items all run at once, mixed."""
    units = [(call, unit) for call in calls for unit in call.units]
    order = np.random.default_rng(1).permutation(len(units))
    entries = [(units[place][0], number) for place in order for number in units[place][1]]
    outcome = together.score(entries)
    assert not outcome.errors
    rows = dict(zip(entries, outcome.scores, strict=True))
    return [together.finish(call.in_order([rows[call, number] for number in range(len(call.items))])) for call in calls]


@pytest.mark.parametrize(
    "case", ["bert_seqcls_1label", "bert_seqcls_3labels", "modernbert_seqcls", "gpt2_causal_no_padside", "pooling_mean"]
)
def test_scores_are_those_of_predict_whatever_runs_beside(case: str) -> None:
    model = CrossEncoder(GOLDEN / case / "model")
    together = Together(model)
    calls = [pairs(5, 1), [*pairs(3, 2), *pairs(3, 2)], pairs(20, 3), pairs(1, 4)]
    prepared = [together.prepare(call) for call in calls]
    for call, one, found in zip(calls, prepared, score(together, *prepared), strict=True):
        expected = model.predict(call)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        assert one.tokens > len(call)


def test_calls_with_other_prompts_and_settings_run_apart() -> None:
    model = CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model")
    together = Together(model)
    call = pairs(4, 5)
    options: list[dict[str, Any]] = [{}, {"prompt": "berlin "}, {"max_length": 8}]
    prepared = [together.prepare(call, **some) for some in options]
    assert len({one.group for one in prepared}) == 3
    for some, found in zip(options, score(together, *prepared), strict=True):
        np.testing.assert_allclose(found, model.predict(call, **some), atol=1e-5)


class Grumbling(torch.nn.Module):
    """Raises for pairs of seven tokens."""

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if (features["attention_mask"].sum(dim=1) == 7).any():
            raise RuntimeError("seven")
        return features

    def save(self, *arguments: object) -> None: ...


def test_an_input_that_raises_fails_alone_and_is_numbered_in_its_own_call() -> None:
    model = CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model")
    sound = Together(model)
    together = Together(CrossEncoder(modules=[*model.children(), Grumbling()]))
    first = together.prepare([("berlin", "drums drums"), ("berlin", "drums drums drums"), ("a", "a")])
    second = together.prepare([("a", "monkey")])
    outcome: Outcome = together.score([(second, 0), *((first, number) for number in range(3))])
    (position,) = outcome.errors
    assert position == 2
    assert outcome.errors[2].pairchain_inputs == (1,)  # type: ignore[attr-defined]
    alone = score(sound, sound.prepare([("a", "monkey")]))[0]
    assert outcome.scores[0] is not None
    np.testing.assert_allclose(together.finish(second.in_order([outcome.scores[0]])), alone, atol=1e-5)


def test_an_input_that_cannot_be_prepared_is_named() -> None:
    together = Together(CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model"))
    with pytest.raises(InputError) as raised:
        together.prepare([("a", "b"), ("a", 3)])
    assert raised.value.index == 1


def test_scores_that_are_no_number_are_refused() -> None:
    together = Together(CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model"))
    prepared = together.prepare([("a", "b"), ("a", "c")])
    with pytest.raises(NonFiniteScoresError) as raised:
        together.finish(prepared.in_order([np.float32(1), np.float32("nan")]))
    assert raised.value.indices == (1,)


@pytest.mark.parametrize(
    ("case", "threads", "expected"),
    [("bert_seqcls_1label", 2, 2), ("bert_seqcls_1label", 1, 1), ("custom_temperature_module", 2, 1)],
    ids=["of several threads", "of one thread", "of a module that declares nothing"],
)
def test_two_slices_run_at_once_only_where_two_threads_may_compute(case: str, threads: int, expected: int) -> None:
    model = CrossEncoder(GOLDEN / case / "model", threads=threads, trust_remote_code=True)
    assert Together(model).slices_at_once == expected


def test_slices_that_run_at_once_have_the_scores_of_predict() -> None:
    model = CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", threads=2, tokens_per_batch=64)
    together = Together(model)
    calls = [pairs(count, count) for count in range(1, 25)]
    prepared = [together.prepare(call) for call in calls]
    with ThreadPoolExecutor(2) as slices:
        found = list(slices.map(lambda one: score(together, one)[0], prepared))
    for call, scores in zip(calls, found, strict=True):
        np.testing.assert_allclose(scores, model.predict(call), atol=1e-5)


@pytest.mark.slow
def test_workers_give_the_scores_of_predict() -> None:
    model = CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model")
    with model.start_multi_process_pool(["cpu"]) as pool:
        together = Together(model, pool)
        calls = [pairs(3, 6), pairs(2, 7)]
        for call, found in zip(calls, score(together, *map(together.prepare, calls)), strict=True):
            np.testing.assert_allclose(found, model.predict(call), atol=1e-5)


def test_slices_grow_with_the_calls_that_wait_up_to_a_limit() -> None:
    together = Together(CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model"))
    sizes = [together.tokens_per_slice(calls) for calls in (1, 2, 5, 8, 64)]
    assert sizes[0] == sizes[1] < sizes[2] < sizes[3] == sizes[4]
