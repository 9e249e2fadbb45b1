"""Backends: the library's own and one that a test registers keep the contract; who chooses one, and who may not."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from letters import load_letters, save_letters
from plain_bert import PlainBertBackend
from plain_bert_model import EagerBackend
from tiny_models import PAIRS, edited, load, save_tiny, scores
from torch import nn

import pairchain
from pairchain import CrossEncoder, registry
from pairchain.backends import Checkpoint, Execution, Support
from pairchain.errors import InputError, PairchainWarning, PluginError, UnknownNameError
from pairchain.testing import BackendContract
from pairchain_transformer import Transformer

TEXTS = (("how many people live in berlin ?", "berlin had a population of people"), ("x", "y yes"), ("a", "b c d e f"))


def classifier(folder: Path, **config: object) -> Path:
    return Path(save_tiny(folder, "bert", "ForSequenceClassification", num_labels=1, num_hidden_layers=2, **config))


@pytest.fixture
def plain_bert(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2] / "support")]))
    undo = registry.backends.register("plain-bert", PlainBertBackend)
    yield "plain-bert"
    undo()


class TestTheLibrary(BackendContract):
    name = "transformers"
    pairs = TEXTS

    def make_checkpoint(self, folder: Path) -> Path:
        return classifier(folder)


@pytest.mark.usefixtures("plain_bert")
class TestPlainBert(BackendContract):
    name = "plain-bert"
    is_plugin = False
    pairs = TEXTS

    def make_checkpoint(self, folder: Path) -> Path:
        return classifier(folder)

    def make_unsupported(self, folder: Path) -> Path:
        return classifier(folder, hidden_act="relu")


class Boastful(PlainBertBackend):
    def supports(self, checkpoint: Checkpoint) -> Support:
        return Support()


class Doubling(PlainBertBackend):
    def load(self, checkpoint: Checkpoint, config: object) -> tuple[nn.Module, Execution]:
        model, execution = super().load(checkpoint, config)
        with torch.no_grad():
            model.named("classifier.weight").mul_(2)
        return model, execution


class Careless(PlainBertBackend):
    def load(self, checkpoint: Checkpoint, config: object) -> tuple[nn.Module, Execution]:
        model, execution = super().load(checkpoint, config)
        execution.lock = threading.Lock()
        return model, execution


@pytest.mark.parametrize(
    ("backend", "check", "said"),
    [
        (Boastful, "it_refuses_a_model_with_its_reason", "says that it can load the model of make_unsupported"),
        (Doubling, "it_scores_as_the_library_does", "scored pairs together differently"),
        (Careless, "copies_score_the_same", "could not be copied"),
        pytest.param(EagerBackend, "asking_it_imports_nothing_heavy", "imported torch", marks=[pytest.mark.slow]),
    ],
)
def test_the_contract_finds(backend: type, check: str, said: str, plain_bert: str, tmp_path: Path) -> None:
    contract = TestPlainBert()
    contract.name = "broken"
    undo = registry.backends.register("broken", backend)
    try:
        with pytest.raises(pytest.fail.Exception, match=said):
            getattr(contract, f"test_{check}")(tmp_path)
    finally:
        undo()


def test_torch_is_another_name_for_transformers(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    assert scores(path, backend="torch") == scores(path, backend="transformers")
    assert "torch" not in pairchain.inspect(path).facts.backends


@pytest.mark.parametrize("build", [CrossEncoder, Transformer])
def test_a_name_that_no_plugin_registers_is_refused_before_anything_is_loaded(
    build: Callable[..., object], tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError, match=r"'transfomers'.*'transformers'") as caught:
        build(tmp_path / "nothing", backend="transfomers")
    assert caught.value.argument == "backend"
    assert "torch, transformers" in caught.value.next_step


@pytest.mark.parametrize("build", [CrossEncoder, Transformer])
@pytest.mark.parametrize("backend", [None, 3, ["torch"], object])
def test_a_backend_that_is_no_name_is_refused(build: Callable[..., object], backend: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be the name of an installed backend") as caught:
        build(tmp_path / "nothing", backend=backend)
    assert caught.value.argument == "backend"


def test_an_object_that_is_no_backend_is_refused() -> None:
    with pytest.raises((InputError, PluginError), match="supports"):
        registry.backends.register("broken", type("Broken", (), {"load": lambda self: None}))


def test_inspect_says_which_backends_could_load_a_model(tmp_path: Path, plain_bert: str) -> None:
    path = classifier(tmp_path, hidden_act="relu")
    found = pairchain.inspect(path).facts.backends
    assert found["plain-bert"] == "it does not know the activation 'relu'"
    assert found["transformers"] == ""
    edited(path, "config.json", model_type="nonsense")
    assert "nonsense" in pairchain.inspect(path).facts.backends["transformers"]


def test_inspect_goes_on_if_a_backend_fails(tmp_path: Path, plain_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlainBertBackend, "supports", lambda self, checkpoint: checkpoint.config["absent"])
    found = pairchain.inspect(classifier(tmp_path)).facts.backends
    assert found["plain-bert"] == "asking it raised KeyError: 'absent'"
    assert found["transformers"] == ""


def test_a_refusal_names_a_backend_that_can_load_the_model(tmp_path: Path, plain_bert: str) -> None:
    path = save_tiny(tmp_path, "roberta", "ForSequenceClassification", num_labels=1)
    with pytest.raises(InputError, match="'plain-bert' cannot load this model: it computes classifiers") as caught:
        CrossEncoder(path, backend=plain_bert)
    assert caught.value.next_step == "use backend='transformers'."


def test_a_backend_is_asked_for_settings_that_it_does_not_have(tmp_path: Path, plain_bert: str) -> None:
    path = classifier(tmp_path)
    with pytest.raises(InputError, match="model_kwargs"):
        load(path, backend=plain_bert, model_kwargs={"dtype": "bfloat16"})
    with pytest.raises(InputError, match="'plain-bert' has no settings"):
        load(path, backend=plain_bert, prefix_cache=1000)


def test_a_models_file_does_not_choose_a_backend(tmp_path: Path, plain_bert: str) -> None:
    path = tmp_path / "chain"
    load(classifier(tmp_path / "model")).save_pretrained(path, create_model_card=False)
    chosen = [json.loads((path / "sentence_bert_config.json").read_text()), {"backend": plain_bert}]
    (path / "sentence_bert_config.json").write_text(json.dumps({**chosen[0], **chosen[1]}))
    with pytest.warns(PairchainWarning, match="backend"):
        model = load(path)
    assert type(model[0].model).__name__ == "BertForSequenceClassification"


def test_a_chain_saved_by_another_backend_names_none(tmp_path: Path, plain_bert: str) -> None:
    model = load(classifier(tmp_path / "model"), backend=plain_bert)
    model.save_pretrained(tmp_path / "chain", create_model_card=False)
    for file in (tmp_path / "chain").rglob("*.json"):
        assert "plain" not in file.read_text()
    assert scores(tmp_path / "chain") == pytest.approx(model.predict(PAIRS).tolist(), rel=1e-4)


def test_a_transformer_built_by_hand_takes_a_backend(tmp_path: Path, plain_bert: str) -> None:
    path = str(classifier(tmp_path))
    module = Transformer(path, transformer_task="sequence-classification", backend=plain_bert)
    assert type(module.model).__name__ == "PlainBert"
    assert CrossEncoder(modules=[module], device="cpu").predict(PAIRS).tolist() == pytest.approx(scores(Path(path)))


def test_a_backend_beside_modules_has_no_effect(tmp_path: Path, plain_bert: str) -> None:
    module = Transformer(str(classifier(tmp_path)), transformer_task="sequence-classification")
    with pytest.warns(PairchainWarning, match="backend has no effect"):
        CrossEncoder(modules=[module], device="cpu", backend=plain_bert)


def test_support_is_true_without_a_reason() -> None:
    assert Support()
    assert not Support("there is no onnx/model.onnx")


def test_a_report_lists_the_backends_when_there_is_a_choice(tmp_path: Path, plain_bert: str) -> None:
    report = pairchain.inspect(classifier(tmp_path))

    assert report.backends == report.facts.backends == report.to_json()["backends"]
    assert report.backends.keys() >= {plain_bert, "transformers"}
    assert f"backend {plain_bert}: " in str(report)


def test_a_report_says_nothing_of_the_only_backend_if_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.backends, "names", lambda: ["torch", "transformers"])
    assert "backend transformers" not in str(pairchain.inspect(classifier(tmp_path)))


def test_a_backend_that_no_module_of_a_model_takes_is_told(tmp_path: Path, plain_bert: str) -> None:
    folder = save_letters(tmp_path)
    with pytest.warns(PairchainWarning, match="choose a backend, so backend='plain-bert' has no effect"):
        load_letters(folder, backend=plain_bert)
