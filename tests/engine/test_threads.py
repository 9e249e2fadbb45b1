"""Batches of one call run in several threads at once: the same scores and errors as one after the other."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threaded import difference, model_of, pairs_of

from pairchain.engine import crews, fastest_way, ways
from pairchain.errors import InputError, collected_warnings

texts = st.text("abx", max_size=6)

pytestmark = pytest.mark.usefixtures("every_call_is_worth_threads")


@settings(max_examples=40)
@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=40),
    st.integers(1, 30),
    st.none() | st.integers(1, 4),
    st.integers(1, 5),
)
def test_scores_are_those_of_one_thread(
    pairs: list[tuple[str, str]], tokens: int, batch_size: int | None, threads: int
) -> None:
    _, model = model_of(tokens_per_batch=tokens)
    assert model.predict(pairs, batch_size=batch_size or "auto", threads=threads).tolist() == difference(pairs)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=20), st.integers(1, 20), st.integers(1, 4))
def test_errors_are_those_of_one_thread(pairs: list[tuple[str, str]], tokens: int, threads: int) -> None:
    def fail(features: dict[str, Any]) -> None:
        if any(features["faulty"]):
            raise ZeroDivisionError(f"{features['letters'].tolist()} has an x")

    def outcome(**options: Any) -> Any:
        _, model = model_of(fail, tokens_per_batch=tokens)
        with collected_warnings() as warned:
            try:
                return model.predict(pairs, **options).tolist(), [str(warning) for warning in warned]
            except ZeroDivisionError as error:
                return error.args, error.pairchain_inputs, error.__notes__  # type: ignore[attr-defined]

    faulty = [place for place, (first, _) in enumerate(pairs) if "x" in first]
    found = outcome(threads=threads)
    if not faulty:
        assert found == (difference(pairs), [])
    else:
        # the division into batches depends on the number of threads, and so does which of several faults comes first
        assert len(found) == 3
        assert set(found[1]) <= set(faulty)
        assert found == outcome(threads=threads)


def test_an_input_error_keeps_its_index_and_the_first_of_several_is_raised() -> None:
    def refuse(features: dict[str, Any]) -> None:
        longest = features["letters"][:, 1].max()
        # later batches fail sooner
        time.sleep(0.02 * float(longest > 8))
        raise InputError("it is refused.", index=0)

    for _ in range(5):
        _, model = model_of(refuse, tokens_per_batch=1)
        with pytest.raises(InputError, match=r"^input 9") as caught:
            model.predict([("a", "b" * number) for number in range(10)])
        assert caught.value.index == 9


def test_batches_do_run_at_once_and_the_longest_first() -> None:
    together, lengths = threading.Barrier(2, timeout=20), []

    def meet(features: dict[str, Any]) -> None:
        lengths.append(int(features["letters"].sum(dim=1).max()))
        if len(features["letters"]) == 1 and lengths[-1] >= 12:
            together.wait()

    module, model = model_of(meet)
    model.predict(pairs_of(16))
    assert len(set(module.threads)) == 2
    assert max(lengths) in lengths[:2]
    assert all(name.startswith("pairchain-") for name in module.threads)


def test_the_last_batches_are_small_and_do_not_depend_on_the_speed_of_threads() -> None:
    sizes: list[tuple[float, ...]] = []

    def note(features: dict[str, Any]) -> None:
        time.sleep(0.001 * (len(sizes) % 3))
        sizes.append(tuple(features["letters"][:, 1].tolist()))

    _, model = model_of(note, tokens_per_batch=64)
    pairs = [("", "b" * (20 + number % 3) + "a" * number) for number in range(24)]
    runs = []
    for _ in range(3):
        model.predict(pairs)
        runs.append(sorted(sizes))
        sizes.clear()
    assert runs[0] == runs[1] == runs[2]
    assert min(len(batch) for batch in runs[0]) < max(len(batch) for batch in runs[0])


def test_equal_batches_get_equal_bits_with_any_number_of_threads() -> None:
    weight = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))

    def compute(features: dict[str, Any]) -> None:
        features["letters"] = features["letters"] * torch.tanh(features["letters"] @ weight).sum(dim=1, keepdim=True)

    _, model = model_of(compute)
    pairs = pairs_of(30)
    alone = model.predict(pairs, batch_size=1, threads=1)
    for threads in (2, 3):
        assert np.array_equal(model.predict(pairs, batch_size=1, threads=threads), alone)


@pytest.mark.parametrize("value", [0, -1, 2.0, "2", True])
def test_threads_is_checked(value: Any) -> None:
    _, model = model_of()
    for call in (
        lambda: model.predict(pairs_of(2), threads=value),
        lambda: model.rank("a", ["b"], threads=value),
        lambda: model_of(threads=value),
        lambda: setattr(model, "threads", value),
    ):
        with pytest.raises(InputError, match="threads must be a positive integer"):
            call()
    assert model.threads is None


def test_the_models_number_is_used_unless_a_call_gives_one() -> None:
    seen: list[int] = []
    _, model = model_of(lambda features: seen.append(torch.get_num_threads()), threads=3)
    model.predict(pairs_of(40))
    assert (model.threads, crews._crews[1].size) == (3, 3)
    model.predict(pairs_of(1), threads=1)
    assert set(seen) == {1}


def test_the_progress_bar_counts_all_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    _, model = model_of()
    model.predict(pairs_of(20), show_progress_bar=True)
    assert "20/20" in capsys.readouterr().err


def test_a_trace_shows_the_batches_in_their_threads() -> None:
    pytest.importorskip("pairchain_trace")
    _, model = model_of()
    pairs = pairs_of(20)
    trace = model.trace(pairs)
    assert trace.scores.tolist() == difference(pairs)
    assert sorted(place for batch in trace.batches for place in batch.inputs) == list(range(20))
    assert {batch.thread[1] for batch in trace.batches} <= {"pairchain-1-of-1", "pairchain-2-of-1"}
    assert all([step.kind for step in batch.steps][:1] == ["collate"] for batch in trace.batches)
    text = str(trace)
    assert "by 2 threads at once" in text
    (rest,) = re.findall(r"^all else +(\S+)", text, re.MULTILINE)
    assert not rest.startswith("-")


def test_the_fastest_way_is_found_once_for_inputs_of_about_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "fastest_way", fastest_way.fastest_way)
    monkeypatch.setattr(fastest_way, "_fastest", {})
    checked: list[int] = []
    find = fastest_way._find
    monkeypatch.setattr(fastest_way, "_find", lambda some, *more: checked.append(len(some)) or find(some, *more))
    _, model = model_of()
    for pair in (("a", "bb"), ("aa", "b"), ("a" * 20, "b"), ("a" * 20, "bb")):
        for _ in range(2):
            assert model.predict([pair]).tolist() == difference([pair])
    # one thread or two, for each of both sizes
    assert checked == [2, 2]


def test_a_chain_without_weights_needs_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "fastest_way", fastest_way.fastest_way)
    module, model = model_of()
    del module.weight
    assert model.predict([("a", "bb")]).tolist() == [-1]
