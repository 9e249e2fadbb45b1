"""What an author has to write: how little makes a module, what older modules did, and what each is called with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from letters import PAIRS, Difference, Head, Letters, letters_model, save_letters
from torch import nn

from pairchain import CrossEncoder, InputModule, Module, PairchainWarning
from pairchain.errors import ChainError, UnknownKeywordError

DIFFERENCES = [-3.0, 2.0, 0.0, -3.0]


def count(pairs: Sequence[Any]) -> dict[str, Any]:
    """Return what `Letters` writes."""
    return {"letters": torch.tensor([[len(first), len(second)] for first, second in pairs]).float()}


def model_of(module: nn.Module, head: nn.Module | None = None, **options: Any) -> CrossEncoder:
    """Return a chain of an input module and a head that ends in the raw scores."""
    return CrossEncoder(modules=[module, head or Difference()], activation_fn=nn.Identity(), **options)


class Tokenizing(InputModule):
    """An input module of before `preprocess` existed."""

    def tokenize(self, texts: Sequence[Any]) -> dict[str, Any]:  # type: ignore[override]
        return count(texts)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return features

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        self.save_config(output_path)


class Shortening(Tokenizing):
    """One whose `tokenize` takes a keyword."""

    def tokenize(self, texts: Sequence[Any], limit: int = 99) -> dict[str, Any]:  # type: ignore[override]
        return count([(first[:limit], second[:limit]) for first, second in texts])


class Promptless(Tokenizing):
    """One whose `preprocess` knows nothing of prompts."""

    def preprocess(self, pairs: Sequence[Any]) -> dict[str, Any]:  # type: ignore[override]
        return count(pairs)


class Open(Tokenizing):
    """One that takes its prompt from any keywords."""

    def preprocess(self, inputs: Sequence[Any], **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        return count([(first, second + kwargs["prompt"]) for first, second in inputs])


class StrangeTokenizer(nn.Module):
    """A module that has never heard of pairchain, and is older than `preprocess`."""

    def tokenize(self, texts: Sequence[Any], **kwargs: Any) -> dict[str, Any]:
        return count(texts)

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return features

    def save(self, path: str, safe_serialization: bool = True) -> None:
        Path(path, "stranger.txt").write_text("here")

    @classmethod
    def load(cls, path: str) -> StrangeTokenizer:
        assert Path(path, "stranger.txt").read_text() == "here"
        return cls()


class Stranger(StrangeTokenizer):
    """Another, of today."""

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None) -> dict[str, Any]:
        return count([((prompt or "") + first, second) for first, second in inputs])


# -- reading the inputs --


@pytest.mark.parametrize("module", [Tokenizing, Shortening, Promptless, Stranger, StrangeTokenizer])
def test_an_input_module_needs_one_method_that_reads_the_inputs(module: type[nn.Module]) -> None:
    assert model_of(module()).predict(PAIRS).tolist() == DIFFERENCES


@pytest.mark.parametrize("module", [Tokenizing, Shortening, Promptless, Stranger, StrangeTokenizer])
def test_a_prompt_is_never_lost_whether_the_module_takes_one_or_not(module: type[nn.Module]) -> None:
    assert model_of(module()).predict(PAIRS, prompt="qq").tolist() == [score + 2 for score in DIFFERENCES]


def test_an_input_module_that_takes_any_keyword_decides_what_it_makes_of_the_prompt() -> None:
    assert model_of(Open()).predict(PAIRS, prompt="qq").tolist() == [score - 2 for score in DIFFERENCES]


def test_a_keyword_of_tokenize_is_a_keyword_of_predict() -> None:
    model = model_of(Shortening())
    assert model.keyword_names() == {"limit"}
    assert model.predict(PAIRS, limit=1).tolist() == [0, 0, 0, -1]


def test_a_keyword_of_a_head_does_not_reach_an_older_input_module() -> None:
    class Scaled(Difference):
        forward_kwargs = {"scale"}

        def forward(self, features: dict[str, Any], scale: float = 1.0, **kwargs: Any) -> dict[str, Any]:
            features["scores"] = super().forward(features)["scores"] * scale
            return features

    assert model_of(Tokenizing(), Scaled()).predict(PAIRS, scale=2).tolist() == [-6, 4, 0, -6]


def test_the_parameter_of_the_inputs_is_no_keyword_whatever_it_is_called() -> None:
    with pytest.raises(UnknownKeywordError, match="'pairs'"):
        model_of(Promptless()).predict(PAIRS, pairs=[])


def test_calling_tokenize_of_a_module_that_has_preprocess_works_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="use preprocess"):
        features = Letters().tokenize(PAIRS)
    assert torch.equal(features["letters"], count(PAIRS)["letters"])


def test_an_input_module_that_reads_nothing_says_so_when_it_is_used() -> None:
    class Unfinished(Tokenizing):
        tokenize = InputModule.tokenize

    with pytest.raises(NotImplementedError, match="Unfinished implements neither preprocess nor tokenize"):
        model_of(Unfinished()).predict(PAIRS)


@pytest.mark.parametrize("base", [Module, InputModule])
def test_a_module_without_forward_or_save_cannot_be_made(base: type) -> None:
    with pytest.raises(TypeError, match=r"forward.*save"):
        type("Unfinished", (base,), {})()


@pytest.mark.parametrize("thing", [Stranger(), StrangeTokenizer(), Letters()])
def test_a_module_is_whatever_has_the_methods(thing: nn.Module) -> None:
    assert isinstance(thing, Module)
    assert isinstance(thing, InputModule)


@pytest.mark.parametrize("thing", [nn.Linear(1, 1), Stranger, "text"])
def test_anything_else_is_none(thing: Any) -> None:
    assert not isinstance(thing, Module)
    assert not isinstance(Difference(), InputModule)


# -- loading and saving --


def saved_as(folder: Path, *classes: type) -> dict[str, type]:
    """Write a ``modules.json`` of ``classes``, a folder for each, and return them by type."""
    save_letters(folder)
    types = {f"own.{cls.__name__}": cls for cls in classes}
    names = [(str(index), f"{index}_{cls.__name__}") for index, cls in enumerate(classes)]
    entries = [{"name": name, "path": path, "type": type_} for (name, path), type_ in zip(names, types, strict=True)]
    (folder / "modules.json").write_text(json.dumps(entries))
    for _, path in names:
        (folder / path).mkdir()
    return types


def test_a_stranger_is_loaded_from_the_one_path_it_takes(tmp_path: Path) -> None:
    types = saved_as(tmp_path, Stranger, Difference)
    (tmp_path / "0_Stranger" / "stranger.txt").write_text("here")
    model = CrossEncoder(tmp_path, module_classes=types, activation_fn=nn.Identity())
    assert model.predict(PAIRS).tolist() == DIFFERENCES


def test_a_subclass_whose_load_takes_one_path_gets_its_own_folder(tmp_path: Path) -> None:
    class Placed(Difference):
        @staticmethod
        def load(input_path: str) -> Placed:  # type: ignore[override]
            module = Placed()
            module.loaded_from = Path(input_path)
            return module

    model = CrossEncoder(tmp_path, module_classes=saved_as(tmp_path, Letters, Placed))
    assert model[1].loaded_from == tmp_path / "1_Placed"


def test_a_load_gets_those_keywords_that_it_names(tmp_path: Path) -> None:
    class Picky(Difference):
        @classmethod
        def load(cls, name: str, subfolder: str = "", trust_remote_code: bool = False) -> Picky:  # type: ignore[override]
            module = cls()
            module.seen = (Path(name), subfolder, trust_remote_code)
            return module

    types = saved_as(tmp_path, Letters, Picky)
    model = CrossEncoder(tmp_path, module_classes=types, trust_remote_code=True)
    assert model[1].seen == (tmp_path, "1_Picky", True)


def test_a_load_that_takes_any_keyword_gets_what_the_caller_passed(tmp_path: Path) -> None:
    class Curious(Difference):
        @classmethod
        def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> Curious:  # type: ignore[override]
            module = cls()
            module.seen = kwargs
            return module

    given = {"model_kwargs": {"dtype": "auto"}, "processor_kwargs": {"a": 1}, "config_kwargs": {"b": 2}}
    model = CrossEncoder(tmp_path, module_classes=saved_as(tmp_path, Letters, Curious), num_labels=1, **given)
    assert model[1].seen == {
        "token": None,
        "cache_folder": None,
        "revision": None,
        "local_files_only": False,
        "trust_remote_code": False,
        "backend": "torch",
        **given,
        "config_kwargs": {"b": 2, "num_labels": 1},
    }


def test_a_load_that_returns_no_module_is_named(tmp_path: Path) -> None:
    class Empty(Difference):
        @classmethod
        def load(cls, path: str) -> None:  # type: ignore[override]
            return None

    with pytest.raises(ChainError, match=r"Empty\.load returned None"):
        CrossEncoder(tmp_path, module_classes=saved_as(tmp_path, Letters, Empty))


def test_a_chain_of_strangers_is_saved_and_loads_again_with_its_classes(tmp_path: Path) -> None:
    model = model_of(Stranger(), prompts={"q": "xx"}, default_prompt_name="q")
    with pytest.warns(PairchainWarning, match=r"not what it imports from .*letters\.py, which is neither"):
        model.save_pretrained(tmp_path / "saved")
    entries = json.loads((tmp_path / "saved" / "modules.json").read_text())
    assert (tmp_path / "saved" / "0_Stranger" / "stranger.txt").is_file()
    classes = dict(zip([entry["type"] for entry in entries], [Stranger, Difference], strict=True))
    again = CrossEncoder(tmp_path / "saved", module_classes=classes)
    assert again.predict(PAIRS).tolist() == model.predict(PAIRS).tolist()


@pytest.mark.slow
def test_a_chain_without_a_transformer_never_imports_that_library(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from letters import PAIRS, load_letters, save_letters; "
        "print(load_letters(save_letters(Path(sys.argv[1]))).predict(PAIRS[2]), 'transformers' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[1] / "support",
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["0.5", "False"]


# -- on_model_ready --


class Watching(Difference):
    """Notes what stands when it is told that the model does."""

    def on_model_ready(self, model: nn.Module) -> None:
        assert isinstance(model, CrossEncoder)
        state = (len(model), model.prompts, type(model.activation_fn), model.device.type, model.training)
        self.told = [*getattr(self, "told", []), state]


def test_a_module_is_told_once_when_everything_stands(tmp_path: Path) -> None:
    types = saved_as(tmp_path, Letters, Watching)
    model = CrossEncoder(tmp_path, module_classes=types, prompts={"q": "x"}, activation_fn=nn.Tanh(), device="cpu")
    assert model[1].told == [(2, {"q": "x"}, nn.Tanh, "cpu", False)]
    model.predict(PAIRS)
    assert len(model[1].told) == 1


def test_a_chain_made_of_modules_tells_them_too() -> None:
    watching = Watching()
    letters_model(watching, prompts={"q": "x"})
    assert [told[:2] for told in watching.told] == [(2, {"q": "x"})]


def test_a_module_in_two_places_is_told_once() -> None:
    watching = Watching()
    CrossEncoder(modules=[Letters(), watching, watching])
    assert len(watching.told) == 1


def test_a_module_prints_its_configuration() -> None:
    class Tempered(Head):
        config_keys = ["temperature"]
        temperature = 2.0

    assert repr(Tempered(torch.sum)) == "Tempered({'temperature': 2.0})"
