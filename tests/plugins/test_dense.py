"""Dense: what it computes, how it starts, and what of it a saved model keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import ChainError, FormatError, InputError, MissingFileError, PickleRefusedError
from pairchain.modules import Dense

X = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
WEIGHT = torch.tensor([[1.0, 0.0, 2.0], [0.0, -1.0, 0.0]])


def dense(out_features: int = 2, **options: Any) -> Dense:
    torch.manual_seed(0)
    return Dense(3, out_features, **options)


def apply(module: Dense, x: torch.Tensor = X) -> torch.Tensor:
    output: torch.Tensor = module({"sentence_embedding": x})["sentence_embedding"]
    return output


def saved(module: Dense, folder: Path, **changes: Any) -> Path:
    """Return the folder that ``module`` is saved in, with ``changes`` to its configuration; None takes a key out."""
    module.save(str(folder))
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def test_it_is_an_activation_of_a_linear_layer() -> None:
    module = dense(init_weight=WEIGHT, init_bias=torch.tensor([0.5, 0.0]))

    assert torch.equal(apply(module), torch.tanh(X @ WEIGHT.T + torch.tensor([0.5, 0.0])))
    assert torch.equal(apply(dense(bias=False, init_weight=WEIGHT, activation_function=None)), X @ WEIGHT.T)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Sigmoid(), torch.square])
def test_the_activation_may_be_any_function(activation: Any) -> None:
    module = dense(bias=False, init_weight=WEIGHT, activation_function=activation)

    assert torch.equal(apply(module), activation(X @ WEIGHT.T))


def test_it_reads_and_writes_the_features_it_is_told_to() -> None:
    features = {"pooled": X}

    dense(1, module_input_name="pooled", module_output_name="scores")(features)

    assert features["pooled"] is X
    assert features["scores"].shape == (2, 1)


def test_a_residual_is_added_after_the_activation() -> None:
    equal, other = dense(3, use_residual=True), dense(2, use_residual=True)

    torch.testing.assert_close(apply(equal), torch.tanh(equal.linear(X)) + X)
    torch.testing.assert_close(apply(other), torch.tanh(other.linear(X)) + X @ other.residual.weight.T)
    assert sorted(equal.state_dict()) == ["linear.bias", "linear.weight"]
    assert sorted(other.state_dict()) == ["linear.bias", "linear.weight", "residual.weight"]


def test_first_values_can_still_be_trained_and_are_copies() -> None:
    start = WEIGHT.clone()
    module = dense(init_weight=start)

    apply(module).sum().backward()
    start.zero_()

    assert module.linear.weight.grad is not None
    assert torch.equal(module.linear.weight, WEIGHT)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"init_weight": WEIGHT.T}, "init_weight has the shape (3, 2), not (2, 3)"),
        ({"init_weight": WEIGHT.tolist()}, "init_weight is list, not a tensor"),
        ({"init_bias": torch.zeros(3)}, "init_bias has the shape (3,), not (2,)"),
        ({"init_bias": torch.zeros(2), "bias": False}, "init_bias is given, but bias is False"),
        ({"activation_function": nn.Tanh}, "pass a function or an instance, such as torch.nn"),
        ({"activation_function": "torch.nn.Tanh"}, "the activation is 'torch.nn.Tanh'"),
    ],
)
def test_arguments_that_make_no_layer_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        dense(**options)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("activation", "path", "arguments"),
    [
        (None, "torch.nn.modules.linear.Identity", None),
        (nn.Tanh(), "torch.nn.modules.activation.Tanh", None),
        (nn.LeakyReLU(0.5), "torch.nn.modules.activation.LeakyReLU", {"negative_slope": 0.5}),
        (nn.LeakyReLU(), "torch.nn.modules.activation.LeakyReLU", None),
        (nn.Softmax(dim=-1), "torch.nn.modules.activation.Softmax", {"dim": -1}),
        (nn.GELU("tanh"), "torch.nn.modules.activation.GELU", {"approximate": "tanh"}),
    ],
)
def test_an_activation_is_saved_with_its_arguments(
    activation: Any, path: str, arguments: dict[str, Any] | None, tmp_path: Path
) -> None:
    module = dense(activation_function=activation)

    config = json.loads((saved(module, tmp_path) / "config.json").read_text())
    again = Dense.load(str(tmp_path))

    assert config["activation_function"] == path
    assert config.get("activation_arguments") == arguments
    assert torch.equal(apply(again), apply(module))
    assert repr(again) == repr(module)


@pytest.mark.parametrize("activation", [torch.tanh, nn.Sequential(nn.Tanh()), lambda x: x * 2])
def test_an_activation_that_no_file_could_name_is_refused_on_save(activation: Any, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot be saved.*only these classes of torch") as caught:
        dense(activation_function=activation).save(str(tmp_path))

    assert "compute it in a module of the chain" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["torch.hub.load", "torch.seed", "my_package.Act", "os.system", ["torch.nn.Tanh"], 3])
def test_an_activation_path_is_looked_up_and_never_imported(path: Any, tmp_path: Path) -> None:
    saved(dense(), tmp_path, activation_function=path)

    with pytest.raises(FormatError) as caught:
        Dense.load(str(tmp_path))

    assert f"activation_function of {tmp_path}/config.json is {path!r}" in str(caught.value)
    assert "imports nothing else that a saved model names" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "said"), [({"slope": 1}, "LeakyReLU takes no argument 'slope'"), ([1], "not an object")]
)
def test_activation_arguments_that_do_not_fit_are_refused(arguments: Any, said: str, tmp_path: Path) -> None:
    saved(dense(activation_function=nn.LeakyReLU()), tmp_path, activation_arguments=arguments)

    with pytest.raises(FormatError, match=said):
        Dense.load(str(tmp_path))


def test_a_save_from_before_feature_names_loads_with_the_defaults(tmp_path: Path) -> None:
    saved(dense(), tmp_path, module_input_name=None, module_output_name=None)

    assert torch.equal(apply(Dense.load(str(tmp_path))), apply(dense()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_weights_are_saved_in_the_dtype_they_have(dtype: torch.dtype, tmp_path: Path) -> None:
    module = dense(2, use_residual=True).to(dtype)
    saved(module, tmp_path)

    weights = load_file(tmp_path / "model.safetensors")

    assert {key: value.dtype for key, value in weights.items()} == dict.fromkeys(module.state_dict(), dtype)
    assert torch.equal(Dense.load(str(tmp_path)).to(dtype).linear.weight, module.linear.weight)


def test_a_chain_in_half_precision_gives_its_layers_that_dtype(pooled: Path) -> None:
    model = CrossEncoder(pooled, device="cpu", model_kwargs={"dtype": "bfloat16"})

    assert model[2].linear.weight.dtype == torch.bfloat16
    assert model.predict([("a", "b")]).dtype == "float32"


def test_a_pickle_is_written_when_asked_for_and_read_when_allowed(pooled: Path, tmp_path: Path) -> None:
    model = CrossEncoder(pooled, device="cpu")
    model.save_pretrained(tmp_path / "pickled", safe_serialization=False)

    assert sorted(path.name for path in (tmp_path / "pickled" / "2_Dense").iterdir()) == [
        "config.json",
        "pytorch_model.bin",
    ]
    with pytest.raises(PickleRefusedError, match=r"2_Dense/pytorch_model\.bin") as caught:
        CrossEncoder(tmp_path / "pickled", device="cpu")
    assert "allow_pickle=True" in str(caught.value)
    again = CrossEncoder(tmp_path / "pickled", device="cpu", allow_pickle=True)
    assert torch.equal(again[2].linear.weight, model[2].linear.weight)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"in_features": 5}, "size mismatch for linear.weight"),
        ({"bias": False}, "unexpected linear.bias"),
        ({"use_residual": True}, "missing residual.weight"),
    ],
)
def test_weights_that_do_not_fit_the_configuration_are_refused(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    saved(dense(), tmp_path, **changes)

    with pytest.raises(FormatError, match=f"do not fit Dense.*{said}") as caught:
        Dense.load(str(tmp_path))

    assert caught.value.where == str(tmp_path)


def test_missing_files_are_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"Dense needs in_features, out_features.*config\.json is missing"):
        Dense.load(str(tmp_path))
    saved(dense(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(MissingFileError, match=r"neither model\.safetensors nor pytorch_model\.bin") as caught:
        Dense.load(str(tmp_path))
    assert caught.value.where == str(tmp_path)


def test_a_key_that_nobody_knows_is_warned_about_and_kept(tmp_path: Path) -> None:
    saved(dense(), tmp_path, dropuot=0.1)

    with pytest.warns(PairchainWarning, match="'dropuot'"):
        again = Dense.load(str(tmp_path))

    assert again.get_config_dict()["dropuot"] == 0.1


def test_a_chain_counts_the_scores_of_the_layer_that_writes_them(pooled: Path) -> None:
    parts = list(CrossEncoder(pooled, device="cpu"))[:2]

    model = CrossEncoder(modules=[*parts, Dense(32, 3, module_output_name="scores")], device="cpu")

    assert model.num_labels == 3
    assert model.predict([("a", "b"), ("c", "d")]).shape == (2, 3)
    with pytest.raises(ChainError, match="nothing in this chain writes 'scores'"):
        CrossEncoder(modules=[*parts, Dense(32, 3)], device="cpu")
