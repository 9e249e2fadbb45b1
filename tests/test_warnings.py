"""A warning points at the line that asked, not at one of pairchain's, and shows what a model says as plain text."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from custom_models import head, load, save_by_hand
from hub_server import HubServer
from letters import PAIRS, Difference, Letters, letters_model

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import warn
from pairchain.modules import Transformer


def unpinned(hub: HubServer, folder: Path) -> None:
    hub.add_repo("warning-tests/code")
    hub.commit("warning-tests/code", {"heads.py": head()})
    load(save_by_hand(folder, ["lengths.Lengths", "warning-tests/code--heads.Head"], {}))


def change(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def in_the_settings(folder: Path) -> None:
    change(folder, "config_sentence_transformers.json", tomorrow=1)
    CrossEncoder(folder, device="cpu")


def in_a_plugin(folder: Path) -> None:
    change(folder, "sentence_bert_config.json", model_kwargs={"device_map": "auto"})
    CrossEncoder(folder, device="cpu")


def in_a_module_on_its_own(folder: Path) -> None:
    change(folder, "sentence_bert_config.json", config_kwargs={"trust_remote_code": True})
    Transformer.load(str(folder))


def of_an_activation(folder: Path) -> None:
    change(folder, "config_sentence_transformers.json", activation_fn="os.getpid")
    CrossEncoder(folder, device="cpu")


@pytest.mark.parametrize("load_it", [in_the_settings, in_a_plugin, in_a_module_on_its_own, of_an_activation])
def test_of_what_a_model_says_it_points_at_the_line_that_loads_it(
    load_it: Callable[[Path], None], classifier: Path
) -> None:
    with pytest.warns(PairchainWarning) as warned:
        load_it(classifier)
    (warning,) = warned
    assert (warning.filename, warning.lineno) == (__file__, load_it.__code__.co_firstlineno + 2)


def test_of_code_that_nobody_pinned_it_points_into_the_file_that_loads_the_model(
    hub: HubServer, tmp_path: Path
) -> None:
    with pytest.warns(PairchainWarning, match="code_revision={.*warning-tests/code") as warned:
        unpinned(hub, tmp_path)
    # its helper `load` is the one who calls
    assert Path(warned[0].filename).name == "custom_models.py"


@pytest.mark.slow
def test_of_scoring_it_points_at_the_line_that_scores_in_workers_too() -> None:
    model = letters_model(prompts={"a": "x"})
    for workers in ({}, {"device": ["cpu", "cpu"]}):
        with pytest.warns(PairchainWarning, match="the prompt named 'a' is not used") as warned:
            model.predict(PAIRS, prompt="y", prompt_name="a", **workers)
        assert [warning.filename for warning in warned] == [__file__]


def test_each_line_that_asks_is_told_once() -> None:
    model = letters_model(prompts={"b": "x"})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            model.predict(PAIRS, prompt="y", prompt_name="b")
        model.predict(PAIRS, prompt="y", prompt_name="b")
    first, second = told
    assert first.lineno < second.lineno


def test_what_a_model_says_cannot_steer_the_terminal(tmp_path: Path) -> None:
    hostile = tmp_path / "\x1b]0;owned\x07"
    classes = {"letters.Letters": Letters, "letters.Difference": Difference}
    save_by_hand(hostile, list(classes), {})
    change(hostile, "config_sentence_transformers.json", activation_fn="os.getpid")
    with pytest.warns(PairchainWarning) as warned:
        CrossEncoder(hostile, module_classes=classes, device="cpu")
    assert "\\x1b]0;owned\\x07 names the activation" in str(warned[0].message)


def test_of_an_attribute_by_its_older_name_it_points_at_the_line_that_reads_or_sets_it(classifier: Path) -> None:
    model = load(classifier)
    with pytest.warns(FutureWarning, match="default_activation_function is called") as read:
        value = model.default_activation_function
    with pytest.warns(FutureWarning, match="default_activation_function is called") as written:
        model.default_activation_function = value
    assert [warning.filename for warning in (*read, *written)] == [__file__] * 2
    assert written[0].lineno == read[0].lineno + 2


def test_of_a_module_that_is_called_directly_it_points_past_torch(
    classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load(classifier)[0]
    features = module.preprocess([("a", "b")])
    monkeypatch.setattr(module.execution, "run", lambda *_: warn("from forward") or {})
    with pytest.warns(PairchainWarning, match="from forward") as warned, torch.no_grad():
        module(features)
    assert [warning.filename for warning in warned] == [__file__]
