"""A trace shows what predict does, step by step, and changes nothing of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_calls import decoded, loaded, recorded
from letters import PAIRS, Difference, Letters, letters_model

from pairchain import CrossEncoder, Encoded
from pairchain.errors import InputError, MissingPackageError, NonFiniteScoresError, UnknownKeywordError
from pairchain_trace import Trace
from pairchain_trace.summary import ModuleSummary

CASES = ["bert_seqcls_1label", "chain_normalize_layernorm_dense", "qwen3_causal_logitscore", "router_by_task"]
BERLIN = "how many people live in berlin ?"
LONG = [(BERLIN, "berlin has museums . " * count) for count in (1, 9, 3, 30, 2, 1)]


def module(trace: Trace, type_name: str) -> ModuleSummary:
    return next(module for module in trace.modules if module.type == type_name)


def features(module: ModuleSummary) -> tuple[set[str], set[str]]:
    return set(module.read), set(module.wrote)


class Counting(Letters):
    """Encodes each pair as its letters."""

    def encode(self, inputs: Sequence[Any], prompt: str | None = None) -> list[Encoded]:
        return [Encoded((len(first), len(second)), len(first + second)) for first, second in inputs]

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        return {"letters": torch.tensor([item.values for item in items]).float()}


@pytest.mark.parametrize("case", [*CASES, "vlm_llava", "custom_temperature_module"])
def test_a_trace_has_the_scores_of_predict(case: str) -> None:
    model = loaded(case)
    call = recorded(case)["calls"][0]
    inputs, options = decoded(call["inputs"], case), decoded(call["kwargs"], case)
    expected = model.predict(inputs, **options)

    scores = model.trace(inputs, **options).scores

    # when enough is computed to choose what computes linear layers, rounding changes once in a process
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scores, np.array(call["expected"]), atol=1e-4)
    assert (type(scores), scores.dtype) == (type(expected), expected.dtype)


@pytest.mark.parametrize("case", CASES)
def test_every_module_shows_what_it_read_and_wrote(case: str) -> None:
    trace = loaded(case).trace(LONG)

    for found in trace.modules:
        assert found.read
        assert not found.took_all
        assert found.wrote
        assert found.duration > 0
    assert "scores" in trace.modules[-1].wrote
    assert not trace.remarks


def test_features_have_their_dtypes_shapes_devices_and_sizes() -> None:
    trace = loaded("chain_normalize_layernorm_dense").trace(LONG[:1])

    (read,), (wrote,) = module(trace, "Pooling").read["token_embeddings"], trace.modules[-1].wrote["scores"]
    assert (read.kind, read.device) == ("float32", "cpu")
    assert read.shape is not None
    assert len(read.shape) == 3
    assert read.bytes == 4 * np.prod(read.shape)
    assert (wrote.kind, wrote.shape, wrote.bytes) == ("float32", (1, 1), 4)
    types = [found.type for found in trace.modules]
    assert types == ["Transformer", "Pooling", "LayerNorm", "Normalize", "Dense", "Dense", "Dense"]


def test_a_part_that_is_all_that_is_asked_for_is_shown_and_no_more_is_written() -> None:
    model = loaded("qwen3_causal_logitscore")
    asked = model[1].reads_part["causal_logits"].of("causal_logits")

    trace = model.trace(LONG)

    transformer = module(trace, "Transformer")
    assert transformer.asked_for == [asked]
    assert asked in str(trace)
    assert "causal_logits" not in {*transformer.wrote, *module(trace, "LogitScore").read}
    assert {feature.shape for feature in transformer.wrote[asked]} <= {(count, 2) for count in range(1, 7)}
    # once for the pair that comes twice
    assert sum(feature.shape[0] for feature in transformer.wrote[asked] if feature.shape) == 5


def test_steps_are_those_of_a_call_and_lie_in_each_other() -> None:
    trace = loaded("chain_normalize_layernorm_dense").trace(LONG)

    titles = [step.title for step in trace.steps]
    assert titles == ["encode Transformer", "schedule", "batch", "activation Identity"]
    inside = next(step for step in trace.steps if step.kind == "batch").steps
    assert [step.title for step in inside][:3] == ["collate Transformer", "0 Transformer", "1 Pooling"]
    for step in trace.root.walk():
        assert step.start <= step.stop
        assert all(step.start <= inner.start and inner.stop <= step.stop for inner in step.steps)
    assert trace.seconds == trace.root.duration / 1e9


def test_batches_say_which_inputs_with_how_many_tokens_and_how_much_padding() -> None:
    model = CrossEncoder(modules=[Counting(), Difference()], tokens_per_batch=8)

    trace = model.trace([("a", "a"), ("aa", "aa"), ("aaa", ""), ("a", "a"), ("", "a")])

    assert (trace.pairs, trace.distinct) == (5, 4)
    shown = [(batch.inputs, batch.tokens, batch.padding) for batch in trace.batches]
    assert shown == [([1, 2], 7, 1), ([0, 4], 3, 1)]
    assert trace.call
    assert trace.call.first_of == [0, 1, 2, 0, 4]
    assert trace.call.most_tokens == 8


def test_lengths_that_nobody_counts_are_not_made_up() -> None:
    trace = letters_model().trace(PAIRS)

    (batch,) = trace.batches
    assert (batch.tokens, batch.padding) == (None, None)
    assert [step.title for step in trace.steps[1].steps] == ["preprocess Letters", "0 Letters", "1 Difference"]
    assert "?" in str(trace)


def test_a_call_without_pairs_has_a_trace_too() -> None:
    trace = letters_model().trace([])

    assert trace.scores.shape == (0,)
    assert (trace.pairs, trace.batches, trace.modules) == (0, [], [])
    assert "0 pairs" in str(trace)


def test_options_of_predict_are_options_of_trace() -> None:
    model = letters_model()

    assert model.trace(PAIRS, convert_to_tensor=True, prompt="xyz").scores.tolist() == [0, 5, 3, 0]
    assert len(model.trace(PAIRS, batch_size=1).batches) == 4
    assert model.trace(PAIRS[0]).scores.shape == ()
    assert model.trace(iter(PAIRS)).pairs == 4
    with pytest.raises(UnknownKeywordError, match="batch_size"):
        model.trace(PAIRS, batchsize=1)


def test_with_the_plugin_disabled_an_error_says_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRCHAIN_DISABLE_PLUGINS", "pairchain-trace")

    with pytest.raises(MissingPackageError) as caught:
        letters_model().trace(PAIRS)

    assert "disabled by PAIRCHAIN_DISABLE_PLUGINS" in caught.value.what
    assert caught.value.next_step == "change PAIRCHAIN_DISABLE_PLUGINS."


@pytest.mark.parametrize("option", [{"pool": object()}, {"device": ["cpu", "cpu"]}])
def test_work_of_other_processes_cannot_be_traced(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="worker processes cannot be traced"):
        letters_model().trace(PAIRS, **option)


def test_a_batch_that_did_not_fit_into_memory_is_shown_as_one() -> None:
    class Crowded(Difference):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            if len(features["letters"]) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(features)

    with pytest.warns(UserWarning, match="ran out of memory"):
        trace = letters_model(Crowded()).trace(PAIRS)

    assert [batch.error for batch in trace.batches] == ["OutOfMemoryError", "", ""]
    assert "raised OutOfMemoryError" in str(trace)


def test_a_model_is_as_it_was_after_a_trace_and_after_one_that_failed(classifier: Path) -> None:
    model = CrossEncoder(classifier, device="cpu")
    expected = model.predict(LONG)

    def state() -> list[Any]:
        hooks = ("_forward_hooks", "_forward_pre_hooks")
        return [
            (type(found), sorted(vars(found)), *(dict(vars(found)[name]) for name in hooks))
            for found in model.modules()
        ]

    before = state()

    model.trace(LONG)
    with pytest.raises(InputError):
        model.trace([("a", "b"), "no pair"])
    with pytest.raises(NonFiniteScoresError):
        model.trace(LONG, activation_fn=torch.log, prompt=None)

    assert state() == before
    assert np.array_equal(model.predict(LONG), expected)
    # a call after it is no part of it
    trace = model.trace(LONG)
    steps = len(list(trace.root.walk()))
    model.predict(LONG)
    assert len(list(trace.root.walk())) == steps


def test_other_threads_are_no_part_of_a_trace() -> None:
    started, done = threading.Event(), threading.Event()

    class Slow(Difference):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            if threading.current_thread() is threading.main_thread():
                started.set()
                assert done.wait(timeout=60)
            return super().forward(features)

    model = letters_model(Slow())
    others: list[Any] = []

    def score() -> None:
        assert started.wait(timeout=60)
        others.append(model.predict(PAIRS[:2]).tolist())
        others.append(model.trace(PAIRS[2:]))
        done.set()

    thread = threading.Thread(target=score)
    thread.start()
    trace = model.trace(PAIRS)
    thread.join()

    assert trace.scores.tolist() == [-3, 2, 0, -3]
    assert [batch.inputs for batch in trace.batches] == [[0, 1, 2, 3]]
    assert others[0] == [-3, 2]
    assert [batch.inputs for batch in others[1].batches] == [[0, 1]]


def test_a_trace_keeps_no_feature_in_memory() -> None:
    import weakref

    seen: list[Any] = []

    def head(letters: torch.Tensor) -> torch.Tensor:
        seen.append(weakref.ref(letters))
        return letters[:, 0]

    trace = letters_model(head).trace(PAIRS)

    assert trace.modules
    assert seen[0]() is None


def test_a_model_inside_a_module_is_traced_in_its_place() -> None:
    class Cascade(Difference):
        def __init__(self) -> None:
            super().__init__()
            self.inner = [letters_model()]

        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            features["scores"] = torch.tensor(self.inner[0].predict(PAIRS))
            return features

    trace = letters_model(Cascade()).trace(PAIRS)

    assert [found.title for found in trace.modules] == ["0 Letters", "1 Cascade", "1 › 0 Letters", "1 › 1 Difference"]
    assert len(trace.batches) == 1
