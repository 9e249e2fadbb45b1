"""Weights: safetensors that fit, and pickles only where they are allowed, and then through a restricted loader."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pairchain import CrossEncoder
from pairchain.errors import FormatError, PickleRefusedError

GOLDEN = Path(__file__).parents[1] / "golden"
MEAN = GOLDEN / "pooling_mean" / "model"
PAIRS = [("what is the capital of france ?", "a monkey is playing drums ."), ("Mars", "the red planet .")]


class Canary:
    """Makes the folder ``path`` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def load(model: Path, **options: Any) -> CrossEncoder:
    return CrossEncoder(model, device="cpu", **options)


def scores(model: Path, **options: Any) -> np.ndarray:
    result: np.ndarray = load(model, **options).predict(PAIRS)
    return result


def pickled(folder: Path, value: object = None, *, name: str = "pytorch_model.bin") -> Path:
    """Put ``value``, or the weights in ``folder``, there as a pickle instead of safetensors."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights if value is None else value, folder / name)
    return folder


# -- safetensors --


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.update({"linear.weight": torch.zeros(2, 3)}), "linear.weight"),
        (lambda tensors: tensors.pop("linear.weight"), "missing linear.weight"),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), "unexpected extra"),
    ],
    ids=["shape", "missing", "unexpected"],
)
def test_a_tensor_that_does_not_fit_is_named(pooled: Path, change: Callable[[Any], object], said: str) -> None:
    path = pooled / "2_Dense" / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(FormatError, match=f"(?s)the weights do not fit Dense.*{said}.*folder 2_Dense"):
        load(pooled)


@pytest.mark.parametrize(
    ("folder", "said"),
    [("", "is not a complete safetensors file"), ("2_Dense", "Error while deserializing header")],
)
@pytest.mark.parametrize(
    "damaged", [lambda data: data[:-4], lambda data: b"", lambda data: b"\xff" * 100], ids=["cut", "empty", "noise"]
)
def test_weights_that_cannot_be_read_are_refused(
    pooled: Path, folder: str, said: str, damaged: Callable[[bytes], bytes]
) -> None:
    path = pooled / folder / "model.safetensors"
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.raises(FormatError, match=said):
        load(pooled)


def test_an_index_that_names_a_file_that_is_missing_or_outside_is_refused(pooled: Path) -> None:
    (pooled / "model.safetensors").rename(pooled / "model-00001-of-00001.safetensors")
    weights = load_file(pooled / "model-00001-of-00001.safetensors")
    index = pooled / "model.safetensors.index.json"

    def name_in_index(name: object) -> None:
        index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(weights, name)}))

    name_in_index("model-00001-of-00001.safetensors")
    np.testing.assert_array_equal(scores(pooled), scores(MEAN))
    for name, said in (
        ("gone.safetensors", "gone.safetensors is missing"),
        ("../out.safetensors", "leaves"),
        (3, "names files"),
    ):
        name_in_index(name)
        with pytest.raises(FormatError, match=said):
            load(pooled)


# -- pickles --


@pytest.mark.parametrize("folder", ["", "2_Dense"])
def test_a_pickle_is_refused_unless_it_is_allowed_and_then_scores_the_same(pooled: Path, folder: str) -> None:
    pickled(pooled / folder)
    with pytest.raises(PickleRefusedError, match=r"(?s)pytorch_model\.bin.*can run code.*allow_pickle=True") as caught:
        load(pooled)
    assert str(pooled) in str(caught.value)
    np.testing.assert_array_equal(scores(pooled, allow_pickle=True), scores(MEAN))


def test_a_model_of_an_earlier_version_with_pickled_weights_scores_as_recorded(golden: Path) -> None:
    recorded = json.loads((golden / "legacy_type_strings" / "golden.json").read_text())
    model = golden / "legacy_type_strings" / "model"
    with pytest.raises(PickleRefusedError, match=r"2_Dense/pytorch_model\.bin"):
        load(model)
    call = recorded["calls"][0]
    predicted = load(model, allow_pickle=True).predict([tuple(pair) for pair in call["inputs"]])
    np.testing.assert_allclose(predicted, call["expected"], atol=recorded["tolerance"])


@pytest.mark.parametrize("folder", ["", "2_Dense"])
@pytest.mark.parametrize("plain", [False, True], ids=["torch.save", "pickle.dumps"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_would_run_something_is_refused_even_where_pickles_are_allowed(
    pooled: Path, tmp_path: Path, folder: str, plain: bool
) -> None:
    canary = Canary(tmp_path / "canary")
    pickled(pooled / folder, {"linear.weight": canary})
    if plain:
        (pooled / folder / "pytorch_model.bin").write_bytes(pickle.dumps(canary))
    with pytest.raises(PickleRefusedError):
        load(pooled)
    with pytest.raises(FormatError, match=r"(?s)restricted loader.*do not load") as caught:
        load(pooled, allow_pickle=True)
    assert "weights_only" not in str(caught.value)  # torch's own advice is how to switch the protection off
    assert not canary.path.exists()


@pytest.mark.parametrize("folder", ["", "2_Dense"])
def test_a_pickle_named_like_safetensors_is_not_unpickled(pooled: Path, tmp_path: Path, folder: str) -> None:
    canary = Canary(tmp_path / "canary")
    pickled(pooled / folder, {"linear.weight": canary}, name="model.safetensors")
    with pytest.raises(FormatError, match="header"):
        load(pooled, allow_pickle=True)
    assert not canary.path.exists()


@pytest.mark.parametrize("folder", ["", "2_Dense"])
def test_a_pickle_beside_safetensors_is_not_looked_at(pooled: Path, tmp_path: Path, folder: str) -> None:
    canary = Canary(tmp_path / "canary")
    torch.save({"linear.weight": canary}, pooled / folder / "pytorch_model.bin")
    np.testing.assert_array_equal(scores(pooled, allow_pickle=True), scores(MEAN))
    assert not canary.path.exists()


@pytest.mark.parametrize("value", [[torch.zeros(1)], {"linear.weight": 3}, torch.zeros(1)])
def test_a_pickle_that_holds_no_weights_is_refused(pooled: Path, value: object) -> None:
    pickled(pooled / "2_Dense", value)
    with pytest.raises(FormatError, match=r"pytorch_model\.bin does not hold a state dict"):
        load(pooled, allow_pickle=True)


def test_allowing_pickles_for_one_load_allows_them_for_no_other(pooled: Path) -> None:
    pickled(pooled / "2_Dense")
    load(pooled, allow_pickle=True)
    with pytest.raises(PickleRefusedError):
        load(pooled)


@pytest.mark.parametrize("safe", [True, False])
def test_weights_are_saved_in_the_form_asked_for(tmp_path: Path, safe: bool) -> None:
    load(MEAN).save_pretrained(tmp_path / "saved", safe_serialization=safe)
    assert (tmp_path / "saved" / "2_Dense" / "model.safetensors").exists() == safe
    assert (tmp_path / "saved" / "2_Dense" / "pytorch_model.bin").exists() != safe
    np.testing.assert_array_equal(scores(tmp_path / "saved", allow_pickle=not safe), scores(MEAN))
