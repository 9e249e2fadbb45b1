"""Activations: which one is applied, what a saved model may name, and that nothing else is ever imported or called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from letters import PAIRS, letters_model, load_letters, save_letters
from torch import nn
from torch.nn.modules import activation as torch_activation

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import FormatError, InputError
from pairchain.format import activation

TANH, IDENTITY = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"

# Apply to more than a row of scores: attention over sequences, softmax over the channels of images.
NOT_FOR_SCORES = {"MultiheadAttention", "Softmax2d"}

# Every class with arguments that change what it computes, with values that are not the defaults.
WITH_ARGUMENTS = [
    nn.CELU(alpha=2.0),
    nn.ELU(alpha=0.5),
    nn.GELU(approximate="tanh"),
    nn.GLU(dim=0),
    nn.Hardshrink(lambd=1.5),
    nn.Hardtanh(min_val=-2.0, max_val=0.5),
    nn.LeakyReLU(negative_slope=0.5),
    nn.LogSoftmax(dim=0),
    nn.PReLU(num_parameters=1, init=0.75),
    nn.RReLU(lower=0.3, upper=0.9),
    nn.Softmax(dim=0),
    nn.Softmin(dim=0),
    nn.Softplus(beta=2.0, threshold=0.5),
    nn.Softshrink(lambd=1.5),
    nn.Threshold(threshold=0.25, value=-7.0),
]


def named(model: CrossEncoder) -> str:
    """Return the name of the class of the model's activation."""
    return type(model.activation_fn).__name__


def legacy(folder: Path, **config: Any) -> Path:
    """Return a saved model whose own settings name no activation, with a ``config.json`` of an earlier version."""
    save_letters(folder)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


# -- which one is applied --


def test_one_label_gets_a_sigmoid_and_several_get_none() -> None:
    one = letters_model(activation_fn=None)
    np.testing.assert_allclose(one.predict(PAIRS), 1 / (1 + np.exp([3.0, -2.0, 0.0, 3.0])), atol=1e-6)
    two = letters_model(lambda letters: letters, activation_fn=None)
    assert two.predict(PAIRS[0]).tolist() == [1, 4]


def test_the_activation_is_that_of_the_call_then_the_constructor_then_the_saved_then_the_legacy_then_the_default(
    tmp_path: Path,
) -> None:
    folder = legacy(tmp_path / "model", sentence_transformers={"activation_fn": "torch.nn.modules.activation.ReLU"})
    save_letters(folder, activation_fn=TANH)
    given = load_letters(folder, activation_fn=nn.Softsign())
    np.testing.assert_allclose(given.predict(PAIRS[1], activation_fn=nn.Identity()), 2.0)
    np.testing.assert_allclose(given.predict(PAIRS[1]), 2 / 3)
    assert named(load_letters(folder)) == "Tanh"
    save_letters(folder, activation_fn=None)
    assert named(load_letters(folder)) == "ReLU"
    (folder / "config.json").unlink()
    assert named(load_letters(folder)) == "Sigmoid"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"sentence_transformers": {"activation_fn": TANH, "version": "4.1.0"}}, "Tanh"),
        ({"sbert_ce_default_activation_function": IDENTITY}, "Identity"),
        ({"sbert_ce_default_activation_function": "torch.nn.Tanh"}, "Tanh"),
        (
            {"sentence_transformers": {"activation_fn": TANH}, "sbert_ce_default_activation_function": IDENTITY},
            "Tanh",
        ),
        ({"sentence_transformers": {"version": "4.1.0"}}, "Sigmoid"),
        ({"sentence_transformers": None, "sbert_ce_default_activation_function": None}, "Sigmoid"),
    ],
    ids=["v4", "v3", "v3 short", "both", "v4 without", "null"],
)
def test_earlier_versions_kept_the_activation_in_config_json(
    tmp_path: Path, config: dict[str, Any], expected: str
) -> None:
    assert named(load_letters(legacy(tmp_path / "model", **config))) == expected


def test_the_activation_can_be_set_and_taken_back() -> None:
    model = letters_model()
    model.activation_fn = nn.ReLU()
    assert model.predict(PAIRS).tolist() == [0, 2, 0, 0]
    model.activation_fn = None
    assert named(model) == "Sigmoid"


def test_a_function_is_an_activation() -> None:
    assert letters_model(activation_fn=torch.abs).predict(PAIRS).tolist() == [3, 2, 0, 3]


def test_the_activation_is_no_link_of_the_chain() -> None:
    model = letters_model(activation_fn=nn.PReLU())
    assert len(model) == 2
    assert not list(model.parameters())
    assert "PReLU" not in str(model)


def test_the_activation_sees_all_pairs_at_once_whatever_the_batch_size() -> None:
    model = letters_model(lambda letters: letters, activation_fn=nn.Softmax(dim=0))
    assert np.array_equal(model.predict(PAIRS, batch_size=1), model.predict(PAIRS))


def test_an_activation_that_draws_at_random_while_training_does_not_when_scoring() -> None:
    model = letters_model(activation_fn=nn.RReLU(lower=0.0, upper=1.0))
    assert model.predict(PAIRS).tolist() == [-1.5, 2, 0, -1.5]
    assert model.predict(PAIRS, activation_fn=nn.RReLU(lower=0.0, upper=1.0)).tolist() == [-1.5, 2, 0, -1.5]


@pytest.mark.parametrize("wrong", [nn.Sigmoid, "sigmoid", 3], ids=repr)
def test_what_cannot_be_applied_is_refused_with_what_to_pass(wrong: Any) -> None:
    for refused_by in (
        lambda: letters_model(activation_fn=wrong),
        lambda: letters_model().predict(PAIRS, activation_fn=wrong),
    ):
        with pytest.raises(InputError, match="the activation is") as refused:
            refused_by()
        assert "torch.nn.Sigmoid()" in refused.value.next_step


# -- what a saved model may name --


@pytest.mark.parametrize("name", sorted(set(torch_activation.__all__) - NOT_FOR_SCORES | {"Identity"}))
def test_every_torch_activation_can_be_named_by_both_its_paths(name: str) -> None:
    cls = getattr(nn, name)
    arguments = {"threshold": 0.5, "value": 1.0} if name == "Threshold" else {}
    for path in (f"torch.nn.{name}", f"{cls.__module__}.{name}"):
        assert activation.is_known(path)
        assert type(activation.build_activation(path, arguments)) is cls


@pytest.mark.parametrize("original", WITH_ARGUMENTS, ids=lambda module: type(module).__name__)
def test_arguments_of_an_activation_are_kept(original: nn.Module) -> None:
    path, arguments = activation.describe_activation(original)
    again = activation.build_activation(path, json.loads(json.dumps(arguments)))
    scores = torch.linspace(-3, 3, 12).reshape(6, 2)
    assert torch.equal(again.eval()(scores), original.eval()(scores))
    assert arguments


def test_an_activation_with_its_defaults_is_saved_as_nothing_but_its_path() -> None:
    assert activation.describe_activation(nn.LeakyReLU()) == ("torch.nn.modules.activation.LeakyReLU", {})


def test_a_saved_model_keeps_its_activation_with_its_arguments(classifier: Path, tmp_path: Path) -> None:
    model = CrossEncoder(classifier, activation_fn=nn.LeakyReLU(0.5), device="cpu")
    model.save_pretrained(tmp_path / "saved")
    again = CrossEncoder(tmp_path / "saved", device="cpu")
    assert named(again) == "LeakyReLU"
    np.testing.assert_allclose(again.predict(PAIRS), model.predict(PAIRS), rtol=1e-5)


class Own(nn.Tanh):
    """An activation of the user."""


@pytest.mark.parametrize(
    ("unnamed", "shown"),
    [(torch.sigmoid, "sigmoid"), (lambda x: x, "<lambda>"), (Own(), "Own"), (nn.Sequential(nn.Tanh()), "Sequential")],
    ids=["function", "lambda", "class", "sequential"],
)
def test_what_a_saved_model_cannot_name_is_refused_when_saving_and_nothing_is_written(
    classifier: Path, tmp_path: Path, unnamed: Any, shown: str
) -> None:
    model = CrossEncoder(classifier, activation_fn=unnamed, device="cpu")
    model.predict(PAIRS)
    with pytest.raises(FormatError, match="cannot be saved") as refused:
        model.save_pretrained(tmp_path / "saved")
    assert shown in refused.value.what
    assert "LeakyReLU" in refused.value.what
    assert "a module of the chain" in refused.value.next_step
    assert not (tmp_path / "saved").exists()


def test_weights_of_an_activation_are_refused_when_saving_if_they_were_trained(
    classifier: Path, tmp_path: Path
) -> None:
    model = CrossEncoder(classifier, activation_fn=nn.PReLU(init=0.5), device="cpu")
    model.save_pretrained(tmp_path / "fresh")
    again = CrossEncoder(tmp_path / "fresh", device="cpu")
    np.testing.assert_allclose(again.predict(PAIRS), model.predict(PAIRS), rtol=1e-5)
    nn.init.constant_(model.activation_fn.weight, 0.9)  # type: ignore[union-attr]
    with pytest.raises(FormatError, match=r"activation\.PReLU has trained weights"):
        model.save_pretrained(tmp_path / "trained")


def test_an_unknown_or_wrong_argument_names_itself(tmp_path: Path) -> None:
    path = "torch.nn.modules.activation.LeakyReLU"
    with pytest.raises(FormatError, match=r"LeakyReLU takes no argument 'negativ_slope'.*'negative_slope'"):
        load_letters(save_letters(tmp_path / "a", activation_fn=path, activation_arguments={"negativ_slope": 1}))
    with pytest.raises(FormatError, match=r"Threshold cannot be built with \{\}"):
        load_letters(save_letters(tmp_path / "b", activation_fn="torch.nn.Threshold"))


# -- and nothing else --

FORBIDDEN = ["torch.seed", "torch.utils.collect_env.get_pretty_env_info", "os.system", "builtins.exit", "canary.Act"]


@pytest.mark.parametrize("path", [*FORBIDDEN, "my_pkg.Act", "torch.nn.modules.linear.Linear", "torch.nn.Sigmod", ""])
def test_another_path_means_the_default_with_a_warning_that_names_it(tmp_path: Path, path: str) -> None:
    folder = save_letters(tmp_path / "model", activation_fn=path)
    with pytest.warns(PairchainWarning, match="not a torch activation, so it is not imported") as warned:
        model = load_letters(folder)
    assert repr(path) in str(warned[0].message)
    assert str(folder) in str(warned[0].message)
    assert "activation_fn=" in str(warned[0].message)
    assert named(model) == "Sigmoid"


def test_another_path_in_an_earlier_layout_means_the_default_too(tmp_path: Path) -> None:
    folder = legacy(tmp_path / "model", sbert_ce_default_activation_function="os.system")
    with pytest.warns(PairchainWarning, match=r"'os\.system'"):
        assert named(load_letters(folder)) == "Sigmoid"


@pytest.mark.slow
def test_no_other_path_is_imported_or_called_even_when_code_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "canary.py").write_text("raise SystemExit('the canary was imported')\n")
    folders = [str(save_letters(tmp_path / str(index), activation_fn=path)) for index, path in enumerate(FORBIDDEN)]
    program = textwrap.dedent("""
        import json, sys, warnings
        import torch
        from letters import PAIRS, load_letters

        started, before, seed = [], set(sys.modules), torch.initial_seed()
        sys.addaudithook(lambda event, _: started.append(event) if event in ("os.system", "subprocess.Popen") else None)
        warnings.simplefilter("ignore")
        for folder in sys.argv[1:]:
            load_letters(folder, trust_remote_code=True).predict(PAIRS)
        imported = {"canary", "torch.utils.collect_env"} & (set(sys.modules) - before)
        print(json.dumps([started, sorted(imported), torch.initial_seed() == seed]))
    """)
    ran = subprocess.run(
        [sys.executable, "-c", program, *folders],
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1] / "support")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [[], [], True]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Softmax", {"dim": "x"}),
        ("LeakyReLU", {"negative_slope": None}),
        ("GELU", {"approximate": 1}),
        ("ELU", {"alpha": []}),
    ],
)
def test_an_argument_of_another_kind_is_refused_before_anything_is_scored(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=f"{name} takes no {next(iter(arguments))}="):
        activation.build_activation(f"torch.nn.{name}", arguments)
