"""Linear layers give the same through oneDNN, which is called only where it computes what PyTorch would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import save_tiny
from torch.profiler import ProfilerActivity, profile

from pairchain import CrossEncoder
from pairchain.engine import onednn
from pairchain_transformer.execution.linear import by_onednn

PAIRS = [(f"query {number % 3}", "word " * (5 + number % 17)) for number in range(40)]

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="this PyTorch has no oneDNN")


@pytest.fixture(autouse=True)
def _nothing_was_computed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "_prepared", set())


def called(compute: Callable[[], Any]) -> tuple[Any, bool]:
    """Return what was computed, and whether oneDNN computed a linear layer of it."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        result = compute()
    return result, any("_linear_pointwise" in event.key for event in seen.key_averages())


@settings(deadline=None)
@given(
    tokens=st.integers(64, 200),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    has_bias=st.booleans(),
    inputs=st.integers(1, 3),
)
def test_a_linear_layer_is_the_same(tokens: int, sizes: tuple[int, int], has_bias: bool, inputs: int) -> None:
    torch.manual_seed(tokens)
    layer = torch.nn.Linear(*sizes, bias=has_bias)
    features = torch.randn(inputs, tokens, sizes[0])
    with torch.inference_mode():
        expected = layer(features)
        with by_onednn(True, torch.nn.Identity(), {}):
            found, is_called = called(lambda: layer(features))

    assert is_called
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "head"), [("bert", "ForSequenceClassification"), ("qwen3", "ForCausalLM")])
def test_scores_are_the_same_with_it_and_without(kind: str, head: str, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path, kind, head, **({"num_labels": 1} if kind == "bert" else {}))
    model = CrossEncoder(folder, device="cpu", backend="transformers")
    model[0].execution.onednn = True
    scores, is_called = called(lambda: model.predict(PAIRS))
    model[0].execution.onednn = False
    expected, is_called_where_switched_off = called(lambda: model.predict(PAIRS))

    assert is_called
    assert not is_called_where_switched_off
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_equal_calls_give_equal_scores_from_the_first_on(tmp_path: Path) -> None:
    model = CrossEncoder(save_tiny(tmp_path, "bert", "ForSequenceClassification", num_labels=1), device="cpu")
    model[0].savings.unread = False

    assert len({model.predict(PAIRS).tobytes() for _ in range(4)}) == 1


def test_it_takes_no_more_memory_however_many_sizes_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "_MOST_SHAPES", 8)
    layer = torch.nn.Linear(16, 16)
    ways = []
    with torch.inference_mode(), by_onednn(True, layer, {}):
        for tokens in range(64, 264, 2):
            features = torch.randn(tokens, 16)
            output, is_called = called(lambda features=features: layer(features))
            ways.append(is_called)
            torch.testing.assert_close(output, F.linear(features, layer.weight, layer.bias), rtol=1e-5, atol=1e-5)

    assert len(onednn._prepared) == 8
    assert ways[0]
    assert not ways[-1]


def test_gradients_flow_where_they_are_wanted() -> None:
    layer, features = torch.nn.Linear(8, 8), torch.randn(2, 64, 8)
    with by_onednn(True, torch.nn.Identity(), {}):
        output, is_called = called(lambda: layer(features))
    output.sum().backward()

    assert not is_called
    assert layer.weight.grad is not None


class Scaled(torch.Tensor):
    """A weight that says itself how it is multiplied, as those of a quantiser do."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            return F.linear(args[0], args[1].as_subclass(torch.Tensor) * 2)
        return super().__torch_function__(func, types, args, kwargs)


@pytest.mark.parametrize("kind", ["half precision", "own kind of weight", "autocast", "few tokens"])
def test_what_it_does_not_take_stays_with_pytorch(kind: str) -> None:
    features, weight = torch.randn(2, 64, 8), torch.randn(8, 8)
    if kind == "half precision":
        features, weight = features.bfloat16(), weight.bfloat16()
    if kind == "few tokens":
        features = features[:, :3]
    if kind == "own kind of weight":
        weight = weight.as_subclass(Scaled)
    with torch.inference_mode(), torch.autocast("cpu", enabled=kind == "autocast"):
        expected = F.linear(features, weight)
        with by_onednn(True, torch.nn.Identity(), {}):
            found, is_called = called(lambda: F.linear(features, weight))

    assert not is_called
    assert torch.equal(found, expected)


@pytest.mark.slow
def test_a_compiled_model_scores_as_before(tmp_path: Path) -> None:
    model = CrossEncoder(save_tiny(tmp_path, "bert", "ForSequenceClassification", num_labels=1), device="cpu")
    expected = model.predict(PAIRS)
    model[0].execution.onednn = True
    model[0].model.compile(backend="aot_eager")

    np.testing.assert_allclose(model.predict(PAIRS), expected, rtol=1e-5, atol=1e-6)
