"""What is saved loads again and scores the same; a save that fails leaves the model that was there."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import HubServer
from torch import nn

from pairchain import CrossEncoder, Module, __version__
from pairchain.errors import FormatError, InputError
from pairchain.modules import Dense

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [
    ("what is the capital of france ?", "a monkey is playing drums ."),
    ("how many people live in berlin ?", "berlin is well known for its museums ."),
]
CASES = [
    "bert_seqcls_3labels",
    "bf16_saved",
    "chain_normalize_layernorm_dense",
    "gpt2_causal_no_padside",
    "legacy_v3_plain_hf",
    "modernbert_seqcls",
    "pooling_mean",
    "prompts_defaults",
    "type_string_variants",
]


class Scaled(Dense):
    """A `Dense` whose output is multiplied by what ``predict`` is told."""

    module_type = Dense.module_type

    def forward(self, features: dict[str, Any], factor: float = 1.0, **kwargs: Any) -> dict[str, Any]:
        features = super().forward(features)
        features["scores"] = features["scores"] * factor
        return features


class Failing(Module):
    """Scores with the first value of an embedding, and fails to be saved when half of it is written."""

    module_type = "tests.Failing"

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = features["sentence_embedding"][:, :1]
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        (Path(output_path) / "config.json").write_text("{")
        raise self.error


def load(model: str | Path, **options: Any) -> CrossEncoder:
    return CrossEncoder(model, device="cpu", **options)


def chain(*heads: nn.Module, **options: Any) -> CrossEncoder:
    """Return the Transformer and the Pooling of a golden model with other modules after them."""
    first, pooling, dense = load(GOLDEN / "pooling_mean" / "model")
    return CrossEncoder(modules=[first, pooling, *(heads or [dense])], device="cpu", **options)


def saved_and_loaded(model: CrossEncoder, folder: Path, **options: Any) -> CrossEncoder:
    model.save_pretrained(folder)
    return load(folder, **options)


def contents(folder: Path) -> dict[str, str]:
    """Return a hash of every file below ``folder``."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


# -- round trips --


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_model_saved_again_scores_exactly_the_same(tmp_path: Path, case: str) -> None:
    model = load(GOLDEN / case / "model")
    again = saved_and_loaded(model, tmp_path / "again")
    np.testing.assert_array_equal(again.predict(PAIRS), model.predict(PAIRS))
    for attribute in ("dtype", "num_labels", "max_seq_length", "prompts", "default_prompt_name"):
        assert getattr(again, attribute) == getattr(model, attribute)
    assert repr(again) == repr(model)


def test_saving_without_a_change_writes_the_same_bytes(tmp_path: Path) -> None:
    saved_and_loaded(chain(), tmp_path).save(tmp_path / "inner")
    inner = contents(tmp_path / "inner")
    assert {name: mark for name, mark in contents(tmp_path).items() if not name.startswith("inner/")} == {
        # each card names its own folder
        **inner,
        "README.md": contents(tmp_path)["README.md"],
    }


def test_settings_of_one_call_are_not_saved(tmp_path: Path) -> None:
    model = chain()
    expected = model.predict(PAIRS)
    model.predict(PAIRS, processing_kwargs={"text": {"max_length": 8, "padding": "max_length"}})
    np.testing.assert_array_equal(saved_and_loaded(model, tmp_path).predict(PAIRS), expected)


@pytest.mark.parametrize(
    "activation",
    [nn.Tanh(), nn.Identity(), nn.LeakyReLU(0.5), nn.Softmax(dim=1), nn.Hardtanh(-0.5, 0.25), nn.Threshold(0.1, 20.0)],
    ids=lambda activation: type(activation).__name__,
)
def test_an_activation_is_saved_with_its_arguments(tmp_path: Path, activation: nn.Module) -> None:
    model = chain(activation_fn=activation)
    again = saved_and_loaded(model, tmp_path / "again")
    assert repr(again.activation_fn) == repr(activation)
    np.testing.assert_array_equal(again.predict(PAIRS), model.predict(PAIRS))


def test_an_activation_of_dense_is_saved_with_its_arguments(tmp_path: Path) -> None:
    model = chain(Dense(32, 3, activation_function=nn.LeakyReLU(0.5), module_output_name="scores"))
    again = saved_and_loaded(model, tmp_path / "again")
    assert repr(again[2].activation_function) == "LeakyReLU(negative_slope=0.5)"
    np.testing.assert_array_equal(again.predict(PAIRS), model.predict(PAIRS))


def test_prompts_are_saved_with_their_texts_and_the_default(tmp_path: Path) -> None:
    model = chain(prompts={"query": "what is it ? ", "none": ""}, default_prompt_name="query")
    again = saved_and_loaded(model, tmp_path / "again")
    assert (again.prompts, again.default_prompt_name) == (model.prompts, "query")
    np.testing.assert_array_equal(again.predict(PAIRS), model.predict(PAIRS, prompt="what is it ? "))
    assert (again.predict(PAIRS) != again.predict(PAIRS, prompt_name="none")).all()


def test_keyword_arguments_that_reach_a_module_are_saved(pooled: Path, tmp_path: Path) -> None:
    entries = json.loads((pooled / "modules.json").read_text())
    entries[2]["kwargs"] = ["factor"]
    (pooled / "modules.json").write_text(json.dumps(entries))
    classes = {Dense.module_type: Scaled}
    again = saved_and_loaded(load(pooled, module_classes=classes), tmp_path / "again", module_classes=classes)
    assert json.loads((tmp_path / "again" / "modules.json").read_text())[2]["kwargs"] == ["factor"]
    np.testing.assert_allclose(again.predict(PAIRS, factor=2.0), 2 * again.predict(PAIRS), rtol=1e-6)


def test_a_module_that_stands_in_a_chain_twice_is_saved_twice(tmp_path: Path) -> None:
    twice = Dense(32, 32)
    model = chain(twice, twice, Dense(32, 1, module_output_name="scores"))
    again = saved_and_loaded(model, tmp_path / "again")
    assert [type(module).__name__ for module in again] == ["Transformer", "Pooling", "Dense", "Dense", "Dense"]
    np.testing.assert_array_equal(again.predict(PAIRS), model.predict(PAIRS))


def test_modules_keep_the_names_they_were_given(tmp_path: Path) -> None:
    names = ("reader", "pooling", "head")
    model = CrossEncoder(modules=OrderedDict(zip(names, chain(), strict=True)), device="cpu")
    again = saved_and_loaded(model, tmp_path / "again")
    assert [name for name, _ in again.named_children()] == list(names)
    assert again.head.in_features == 32
    np.testing.assert_array_equal(again.predict(PAIRS), model.predict(PAIRS))


def test_what_was_changed_after_loading_is_what_is_saved(tmp_path: Path) -> None:
    model = load(GOLDEN / "pooling_mean" / "model", keep_in_fp32_modules=["2.linear"])
    before = model.predict(PAIRS)
    model.max_seq_length = 12
    model.activation_fn = nn.Sigmoid()
    with torch.no_grad():
        model[2].linear.weight.mul_(-1)
    again = saved_and_loaded(model, tmp_path / "again")
    assert again.max_seq_length == 12
    assert again.keep_in_fp32_modules == ("2.linear",)
    np.testing.assert_array_equal(again.predict(PAIRS), model.predict(PAIRS))
    assert (again.predict(PAIRS) != before).all()


def test_a_model_from_the_hub_is_saved_whole(hub: HubServer, tmp_path: Path) -> None:
    hub.add_repo("user/to-save")
    hub.commit("user/to-save", GOLDEN / "pooling_mean" / "model")
    model = load("user/to-save")
    again = saved_and_loaded(model, tmp_path / "again")
    assert again.source is not None
    assert again.source.is_local
    np.testing.assert_array_equal(again.predict(PAIRS), model.predict(PAIRS))


def test_a_saved_model_says_what_each_module_is_and_who_provides_it(tmp_path: Path) -> None:
    chain(prompts={"query": "q: "}, activation_fn=nn.LeakyReLU(0.5)).save_pretrained(tmp_path)
    entries = json.loads((tmp_path / "modules.json").read_text())
    assert [(entry["idx"], entry["name"], entry["path"]) for entry in entries] == [
        (0, "0", ""),
        (1, "1", "1_Pooling"),
        (2, "2", "2_Dense"),
    ]
    assert entries[2]["type"] == "sentence_transformers.base.modules.dense.Dense"
    assert (entries[2]["distribution"], entries[2]["version"]) == ("pairchain-dense", __version__)
    assert "kwargs" not in entries[2]
    settings = json.loads((tmp_path / "config_sentence_transformers.json").read_text())
    assert {"sentence_transformers", "pairchain", "transformers", "pytorch"} <= settings.pop("__version__").keys()
    assert settings == {
        "model_type": "CrossEncoder",
        "prompts": {"query": "q: "},
        "default_prompt_name": None,
        "activation_fn": "torch.nn.modules.activation.LeakyReLU",
        "activation_arguments": {"negative_slope": 0.5},
    }


# -- where it is saved --


def test_a_model_is_saved_over_another_without_a_trace_of_it(pooled: Path) -> None:
    mine = {"notes.md": "mine", "my_code.py": "mine", ".git/HEAD": "mine", "2024_notes/a.txt": "mine"}
    stale = ("chat_template.jinja", "pytorch_model.bin", "model-00001-of-00002.safetensors", "vocab.txt")
    for name, text in {**mine, **dict.fromkeys(stale, "old")}.items():
        (pooled / name).parent.mkdir(exist_ok=True)
        (pooled / name).write_text(text)
    model = load(GOLDEN / "roberta_seqcls" / "model")
    np.testing.assert_allclose(saved_and_loaded(model, pooled).predict(PAIRS), model.predict(PAIRS), rtol=1e-6)
    left = {name for name in contents(pooled) if not name.startswith(("1_Pooling/", "2_Dense/"))}
    model.save_pretrained(pooled.parent / "alone")
    assert left == set(contents(pooled.parent / "alone")) | set(mine)


@pytest.mark.parametrize("place", ["itself", "a link to it", "the current directory"])
def test_a_model_is_saved_into_the_folder_it_was_loaded_from(
    pooled: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(pooled)
    link = pooled.parent / "link"
    link.symlink_to(pooled)
    model = load(pooled)
    before = model.predict(PAIRS)
    with torch.no_grad():
        model[2].linear.weight.mul_(2)
    expected = model.predict(PAIRS)
    assert (expected != before).all()
    model.save_pretrained({"itself": pooled, "a link to it": link, "the current directory": "."}[place])
    assert link.is_symlink()
    np.testing.assert_array_equal(model.predict(PAIRS), expected)
    np.testing.assert_array_equal(load(pooled).predict(PAIRS), expected)
    assert sorted(path.name for path in pooled.parent.iterdir()) == ["link", "pooled"]


def test_a_path_to_save_to_must_name_a_folder(pooled: Path) -> None:
    model = load(pooled)
    with pytest.raises(InputError, match="the path to save to is empty"):
        model.save_pretrained("")
    with pytest.raises(FormatError, match=r"(?s)cannot save to .*config\.json.* is not a folder.*name a folder"):
        model.save_pretrained(pooled / "config.json")


# -- saves that fail --


def no_json(model: CrossEncoder) -> None:
    model[2].module_output_name = {"not", "json"}


def unnamed_activation(model: CrossEncoder) -> None:
    model.activation_fn = lambda scores: scores


def no_json_in_a_prompt(model: CrossEncoder) -> None:
    model.prompts["query"] = b"bytes"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (no_json, ["config.json cannot be written as JSON", "2_Dense"]),
        (no_json_in_a_prompt, ["config_sentence_transformers.json cannot be written as JSON"]),
        (unnamed_activation, ["the activation <lambda> cannot be saved", "in a module of the chain"]),
    ],
)
def test_what_cannot_be_written_is_named_and_the_old_model_stays(
    pooled: Path, spoil: Callable[[CrossEncoder], None], parts: list[str]
) -> None:
    before = contents(pooled.parent)
    model = load(pooled)
    spoil(model)
    for target in (pooled, pooled.parent / "new" / "model"):
        with pytest.raises(FormatError) as caught:
            model.save_pretrained(target)
        assert [part for part in parts if part not in str(caught.value)] == []
    assert contents(pooled.parent) == before
    assert not (pooled.parent / "new").exists()


@pytest.mark.filterwarnings("ignore:.*because its module_type is 'tests.Failing':pairchain.PairchainWarning")
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("a fault")])
def test_a_module_that_fails_to_be_saved_leaves_the_old_model_whole(pooled: Path, error: BaseException) -> None:
    before, expected = contents(pooled), load(pooled).predict(PAIRS)
    with pytest.raises(type(error)) as caught:
        chain(Failing(error)).save_pretrained(pooled)
    assert error in (caught.value, caught.value.__cause__)
    assert str(pooled) in str(caught.value) or not isinstance(error, OSError)
    assert contents(pooled) == before
    assert not [path for path in pooled.iterdir() if path.name not in {name.partition("/")[0] for name in before}]
    np.testing.assert_array_equal(load(pooled).predict(PAIRS), expected)
