"""A model that runs without the transformers library is given over to it, once, when something asks for its model."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_calls import GOLDEN
from torch import nn

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain_transformer.quick.tokenizer import QuickTokenizer

MODEL = GOLDEN / "bert_seqcls_1label" / "model"
CAUSAL = GOLDEN / "qwen3_causal_logitscore" / "model"
PAIRS = [("how do cats sleep", "cats sleep a lot"), ("a", "b c d e f g"), ("q", "")]


def load(path: Path = MODEL, **options: Any) -> CrossEncoder:
    return CrossEncoder(path, **{"device": "cpu", "backend": "auto", **options})


def is_packed(model: CrossEncoder) -> bool:
    return not model[0]._is_given_over


def trained(model: CrossEncoder) -> None:
    model.train()
    model.eval()


def optimized(model: CrossEncoder) -> None:
    torch.optim.SGD(model.parameters(), lr=0.1)


def with_gradients(model: CrossEncoder) -> None:
    with torch.enable_grad():
        model(model.preprocess(PAIRS))


TRIGGERS: list[Callable[[CrossEncoder], object]] = [
    lambda model: model[0].model,
    lambda model: model[0].auto_model,
    lambda model: list(model.modules()),
    lambda model: dict(model.named_parameters()),
    lambda model: model[0].savings,
    lambda model: model.get_submodule("0.model"),
    trained,
    optimized,
    with_gradients,
]


@pytest.mark.parametrize("path", [MODEL, CAUSAL])
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_what_needs_the_librarys_model_brings_it_in_with_the_same_scores(
    path: Path, trigger: Callable[[CrossEncoder], object]
) -> None:
    model = load(path)
    before = model.predict(PAIRS)
    assert is_packed(model)

    trigger(model)

    assert not is_packed(model)
    assert type(model[0].model).__module__.startswith("transformers.")
    np.testing.assert_allclose(model.predict(PAIRS), before, atol=1e-5)
    np.testing.assert_allclose(load(path, backend="torch").predict(PAIRS), before, atol=1e-5)


QUIET: list[Callable[[CrossEncoder], object]] = [
    repr,
    lambda model: (model.device, model.dtype, model.num_labels, model.max_seq_length, model[0].modalities),
    lambda model: model.state_dict(),
    lambda model: model.eval(),
    lambda model: model.to(torch.float64),
    lambda model: copy.deepcopy(model),
    lambda model: pickle.dumps(model),
    lambda model: (model[0].config, model[0].tokenizer, model[0].processor),
    lambda model: setattr(model, "max_seq_length", 9),
    lambda model: model[0].untrained,
]


@pytest.mark.parametrize("look", QUIET)
def test_what_only_looks_leaves_the_model_where_it_is(look: Callable[[CrossEncoder], object]) -> None:
    model = load()
    look(model)
    model.predict(PAIRS)
    assert is_packed(model)


def test_an_optimizer_made_before_training_trains_the_model_that_runs() -> None:
    model = load()
    before = model.predict(PAIRS)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model.train()
    model(model.preprocess(PAIRS))["scores"].sum().backward()
    optimizer.step()
    assert not np.allclose(model.predict(PAIRS), before, atol=1e-4)


def test_the_weights_are_the_same_memory() -> None:
    model = load()
    places = {name: value.data_ptr() for name, value in model.state_dict().items()}
    weights = dict(model[0].model.named_parameters())
    shared = [name for name, value in weights.items() if places.get(f"0.model.{name}") == value.data_ptr()]
    assert len(shared) > len(weights) // 2
    assert model.state_dict().keys() >= places.keys()


def test_weights_that_were_loaded_later_are_those_given_over() -> None:
    model, other = load(), load(backend="torch")
    for weight in other[0].model.parameters():
        nn.init.normal_(weight, std=0.05)
    model.load_state_dict(other.state_dict(), strict=False)
    expected = other.predict(PAIRS)
    np.testing.assert_allclose(model.predict(PAIRS), expected, atol=1e-5)
    assert is_packed(model)
    assert model[0].model is not None
    np.testing.assert_allclose(model.predict(PAIRS), expected, atol=1e-5)


def test_a_changed_configuration_and_tokenizer_count() -> None:
    model = load()
    model[0].tokenizer.model_max_length = 6
    assert model.max_seq_length == 6
    assert model.predict([("a b c d e f", "g h i j")]) == load(max_length=6).predict([("a b c d e f", "g h i j")])
    assert is_packed(model)
    model[0].config.output_hidden_states = True
    model.predict(PAIRS)
    assert not is_packed(model)


def test_a_model_that_the_user_sets_runs() -> None:
    model, other = load(), load(backend="torch")
    model[0].model = other[0].model
    np.testing.assert_array_equal(model.predict(PAIRS), other.predict(PAIRS))


def test_a_saved_model_is_the_same_and_goes_on_without_the_library(tmp_path: Path) -> None:
    model, library = load(), load(backend="torch")
    model.save_pretrained(tmp_path / "ours")
    library.save_pretrained(tmp_path / "library")
    assert is_packed(model)
    ours, theirs = (
        {path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")} for name in ("ours", "library")
    )
    assert ours == theirs
    for name in ours - {Path("README.md")}:
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "library" / name).read_bytes(), name


def test_a_backend_that_is_named_refuses_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'packed' cannot load this model: .*nonsense"):
        load(backend="packed", config_kwargs={"nonsense": 1})
    assert load(config_kwargs={"num_labels": 1})[0].backend == "packed"


def test_the_quick_reader_reads_until_something_asks_for_the_tokenizer() -> None:
    model = load()
    assert isinstance(model[0].reader, QuickTokenizer)
    tokenizer = model[0].tokenizer
    assert model[0].reader is tokenizer
    assert is_packed(model)


@pytest.mark.slow
def test_nothing_imports_the_transformers_library_before_it_is_needed() -> None:
    script = f"""
import sys
from pairchain import CrossEncoder, inspect
for path in {[str(MODEL), str(CAUSAL), str(GOLDEN / "pooling_mean" / "model")]!r}:
    model = CrossEncoder(path, device="cpu", backend="auto")
    model.predict({PAIRS!r}, prompt="a prompt")
    model.rank("a", ["b", "c d"], truncation="document", max_length=40)
    repr(model), str(inspect(path)), model.num_labels
print("transformers" in sys.modules)
print(model[0].config.model_type, "transformers" in sys.modules)
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines() == ["False", "bert True"]
