"""Where a model computes and in which precision: it moves and casts like any torch module, and scores are float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from letters import PAIRS, Difference, Letters, letters_model
from torch import nn
from torch.nn import functional

from pairchain import CrossEncoder, ModuleChain, PairchainWarning
from pairchain.chain.device import default_device, place, to_device
from pairchain.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden"
HEAD = "5.linear"


class Weighted(Difference):
    """A head with a weight, so that it is somewhere and has a dtype."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, device=device, dtype=dtype))


class WeightedLetters(Letters):
    """An input module with a weight."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, device=device, dtype=dtype))


def head_call(model: CrossEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the layer `HEAD` reads and writes for `PAIRS`."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    handle = model.get_submodule(HEAD).register_forward_hook(lambda _, args, output: seen.append((args[0], output)))
    model.predict(PAIRS)
    handle.remove()
    return seen[0]


# -- places --


def test_a_model_is_on_the_first_accelerator_or_else_on_the_cpu(classifier: Path) -> None:
    assert CrossEncoder(classifier).device.type == default_device().type
    if not torch.accelerator.is_available():
        assert default_device() == torch.device("cpu")


def test_a_model_is_where_it_was_asked_to_be(classifier: Path) -> None:
    model = CrossEncoder(classifier, device="meta")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_predict_moves_the_model_and_returns_tensors_from_there() -> None:
    model = CrossEncoder(modules=[WeightedLetters(), Weighted()], device="cpu")
    scores = model.predict(PAIRS, device="meta", convert_to_tensor=True, allow_non_finite=True)
    assert (scores.device.type, model.device.type) == ("meta", "meta")


def test_a_chain_moves_as_one(classifier: Path) -> None:
    model = CrossEncoder(classifier, device="cpu")
    assert model.to("meta") is model
    assert model.device == torch.device("meta")


def test_every_module_follows_the_first_to_its_dtype() -> None:
    model = CrossEncoder(modules=[WeightedLetters(dtype=torch.bfloat16), Weighted()], device="cpu")
    assert [module.weight.dtype for module in model] == [torch.bfloat16, torch.bfloat16]


def test_a_first_module_spread_by_a_device_map_stays_and_the_others_follow_it() -> None:
    chain = ModuleChain([WeightedLetters(device="meta"), Weighted()])
    with pytest.warns(PairchainWarning, match="device_map decides the placement; device='cpu' is not used"):
        place(chain, "cpu", has_device_map=True)
    assert [module.weight.device.type for module in chain] == ["meta", "meta"]


def test_every_tensor_among_the_features_is_moved_however_deep_it_lies() -> None:
    tensor = torch.zeros(2)
    features = {"a": tensor, "b": [tensor, (tensor, "text")], "c": {"d": tensor, "e": None}, "f": 7}
    moved = to_device(features, torch.device("meta"))
    found = [moved["a"], moved["b"][0], moved["b"][1][0], moved["c"]["d"]]
    assert {value.device.type for value in found} == {"meta"}
    assert (moved["b"][1][1], moved["c"]["e"], moved["f"]) == ("text", None, 7)
    assert tensor.device.type == "cpu"


# -- precision --


@pytest.mark.parametrize(
    ("cast", "dtype"),
    [
        (lambda model: model.half(), torch.float16),
        (lambda model: model.bfloat16(), torch.bfloat16),
        (lambda model: model.to(torch.bfloat16), torch.bfloat16),
        (lambda model: model.to(dtype=torch.float16, device="cpu"), torch.float16),
        (lambda model: model.half().float(), torch.float32),
    ],
    ids=["half", "bfloat16", "to", "to both", "and back"],
)
def test_a_model_casts_like_any_module_and_scores_are_float32(classifier: Path, cast: Any, dtype: torch.dtype) -> None:
    model = CrossEncoder(classifier, device="cpu")
    exact = model.predict(PAIRS)
    assert cast(model) is model
    assert model.dtype == dtype
    scores = model.predict(PAIRS)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, exact, atol=0.02)


def test_scores_of_a_model_saved_in_bfloat16_are_float32(golden: Path) -> None:
    model = CrossEncoder(golden / "bf16_saved" / "model", device="cpu")
    assert model.dtype == torch.bfloat16
    assert model.predict(PAIRS).dtype == np.float32
    assert model.predict(PAIRS, convert_to_tensor=True).dtype == torch.float32


def test_float64_scores_are_not_rounded_on_their_way() -> None:
    model = letters_model(lambda letters: letters[:, 0].double() + 1e-12)
    assert model.predict(("", "a"), convert_to_tensor=True).item() == 1e-12


def test_the_state_of_a_model_is_that_of_its_modules(pooled: Path) -> None:
    model, other = CrossEncoder(pooled, device="cpu"), CrossEncoder(pooled, device="cpu")
    assert {name.partition(".")[0] for name in model.state_dict()} == {"0", "2"}
    with torch.no_grad():
        other[2].linear.weight.add_(1.0)
    assert not np.allclose(other.predict(PAIRS), model.predict(PAIRS))
    other.load_state_dict(model.state_dict())
    assert np.array_equal(other.predict(PAIRS), model.predict(PAIRS))


# -- layers that stay in float32 --


@pytest.fixture
def deep(golden: Path) -> Path:
    """A chain with a Dense in its middle, which computes in the model's dtype unless it is told otherwise."""
    return golden / "chain_normalize_layernorm_dense" / "model"


def test_the_layer_that_writes_the_scores_computes_in_float32_anyway(deep: Path) -> None:
    model = CrossEncoder(deep, device="cpu", model_kwargs={"dtype": torch.bfloat16})
    seen = []
    model[6].linear.register_forward_hook(lambda layer, given, written: seen.append((given[0].dtype, written.dtype)))
    model.predict(PAIRS)
    assert seen == [(torch.bfloat16, torch.float32)]


def test_a_kept_layer_computes_in_float32_whatever_it_is_given(deep: Path) -> None:
    plain = CrossEncoder(deep, device="cpu", model_kwargs={"dtype": torch.bfloat16})
    kept = CrossEncoder(deep, device="cpu", model_kwargs={"dtype": torch.bfloat16}, keep_in_fp32_modules=[HEAD])
    assert head_call(plain)[1].dtype == torch.bfloat16
    read, written = head_call(kept)
    layer = kept.get_submodule(HEAD)
    assert (read.dtype, layer.weight.dtype, written.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    assert torch.equal(written, functional.linear(read.float(), layer.weight.float(), layer.bias.float()))
    assert kept.keep_in_fp32_modules == (HEAD,)


def test_a_kept_layer_stays_so_under_autocast_and_after_a_cast(deep: Path) -> None:
    model = CrossEncoder(deep, device="cpu", keep_in_fp32_modules=[HEAD])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head_call(model)[1].dtype == torch.float32
    assert head_call(model.half())[1].dtype == torch.float32


def test_kept_layers_are_saved_and_come_back_unless_others_are_given(deep: Path, tmp_path: Path) -> None:
    model = CrossEncoder(deep, device="cpu", keep_in_fp32_modules=[HEAD, HEAD])
    model.save_pretrained(tmp_path / "saved")
    settings = json.loads((tmp_path / "saved" / "config_sentence_transformers.json").read_text())
    assert settings["keep_in_fp32_modules"] == [HEAD]
    again = CrossEncoder(tmp_path / "saved", device="cpu", model_kwargs={"dtype": torch.bfloat16})
    assert again.keep_in_fp32_modules == (HEAD,)
    assert head_call(again)[1].dtype == torch.float32
    without = CrossEncoder(
        tmp_path / "saved", device="cpu", model_kwargs={"dtype": torch.bfloat16}, keep_in_fp32_modules=[]
    )
    assert head_call(without)[1].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("2.linea", "'2.linea' is not a layer of this chain"),
        ("2", "'2' is a Dense, not a torch.nn.Linear"),
        ("0.model", "'0.model' is a BertModel, not a torch.nn.Linear"),
    ],
)
def test_a_path_of_no_linear_layer_is_refused_with_what_it_is(pooled: Path, path: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        CrossEncoder(pooled, device="cpu", keep_in_fp32_modules=[path])
    assert said in refused.value.what
    if path == "2.linea":
        assert "did you mean '2.linear'" in refused.value.what


# -- devices that this machine does not have --


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cuda:x", "", "hpu", "auto", 99, 3.5])
def test_a_wrong_device_is_refused_with_those_of_this_machine(device: Any) -> None:
    model = letters_model()
    ways = {
        "load": lambda: CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", device=device),
        "build": lambda: letters_model(device=device),
        "predict": lambda: model.predict(PAIRS, device=device),
        "workers": lambda: model.predict(PAIRS, device=["cpu", device]),
        "pool": lambda: model.start_multi_process_pool([device]),
    }
    if isinstance(device, str):
        ways["move"] = lambda: model.to(device)
    for way, use in ways.items():
        with pytest.raises(InputError, match="which this machine does not have") as refused:
            use()
        assert refused.value.argument == "device", way
        assert refused.value.next_step.startswith("choose from cpu"), way


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu"), None])
def test_a_device_that_is_there_is_taken(device: Any) -> None:
    assert letters_model(device=device or "cpu").predict(PAIRS, device=device).tolist() == [-3.0, 2.0, 0.0, -3.0]
