"""A model works on when its folder is deleted or overwritten after the load, and never mixes two versions."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer
from tiny_models import GOLDEN, edited
from torch import nn

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import LockError

pytestmark = pytest.mark.slow

MODELS = ["bert_seqcls_1label", "qwen3_causal_logitscore", "pooling_mean"]
PAIRS = [("how do cats sleep", "cats sleep a lot"), ("a", "b c d e f g"), ("q", "")]


def load(path: Path, **options: Any) -> CrossEncoder:
    return CrossEncoder(path, **{"device": "cpu", "backend": "auto", **options})


def deleted(folder: Path) -> None:
    shutil.rmtree(folder)


def replaced(folder: Path) -> None:
    """Put a model of another architecture in its place, with other templates and settings."""
    shutil.rmtree(folder)
    shutil.copytree(GOLDEN / "modernbert_seqcls" / "model", folder)
    for path in folder.rglob("config.json"):
        (path.parent / "chat_template.jinja").write_text("another {{ messages }}")


def overwritten(folder: Path) -> None:
    """Write other content into each of the small files, as an editor does."""
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".txt", ".jinja"):
            path.write_text('{"of": "another version"}')


CHANGES = [deleted, replaced, overwritten]


@pytest.fixture(params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / request.param / "model", tmp_path / "model"))


def with_its_model(model: CrossEncoder) -> list[float]:
    assert type(model[0].model).__module__.startswith("transformers.")
    return list(model.predict(PAIRS).tolist())


USES: list[Callable[[CrossEncoder], object]] = [
    lambda model: json.loads(model[0].config.to_json_string()),
    lambda model: model[0].tokenizer([list(pair) for pair in PAIRS])["input_ids"],
    lambda model: model[0].tokenizer.chat_template,
    lambda model: pickle.loads(pickle.dumps(model))[0].tokenizer.get_vocab(),
    with_its_model,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_library_makes_later_is_of_the_loaded_version(change: Callable[[Path], None], folder: Path) -> None:
    before = [use(load(folder)) for use in USES]
    models = [load(folder) for _ in USES]
    scores = [model.predict(PAIRS) for model in models]
    change(folder)
    for use, model, expected, found in zip(USES, models, before, scores, strict=True):
        result = use(model)
        if use is with_its_model:
            np.testing.assert_allclose(result, expected, atol=1e-5)
        else:
            assert result == expected
        np.testing.assert_allclose(model.predict(PAIRS), found, atol=1e-5)


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_saved_as_it_was_loaded(change: Callable[[Path], None], folder: Path, tmp_path: Path) -> None:
    model, expected = load(folder), load(folder)
    expected.save_pretrained(tmp_path / "expected")
    change(folder)
    model.save_pretrained(tmp_path / "saved")
    names = {path.relative_to(tmp_path / "expected") for path in (tmp_path / "expected").rglob("*") if path.is_file()}
    assert names == {path.relative_to(tmp_path / "saved") for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    # the model card has the folder's name
    for name in names - {Path("README.md")}:
        saved = (tmp_path / "saved" / name).read_bytes()
        assert saved == (tmp_path / "expected" / name).read_bytes(), name
    found = load(tmp_path / "saved").predict(PAIRS, activation_fn=nn.Identity())
    np.testing.assert_allclose(found, expected.predict(PAIRS, activation_fn=nn.Identity()), atol=1e-5)


def test_it_can_be_saved_into_its_own_folder(folder: Path) -> None:
    model = load(folder)
    expected = model.predict(PAIRS)
    model.save_pretrained(folder)
    assert model[0].tokenizer is not None
    np.testing.assert_allclose(with_its_model(model), expected, atol=1e-5)
    np.testing.assert_allclose(load(folder).predict(PAIRS), expected, atol=1e-5)


def test_paths_and_names_are_those_of_its_folder(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / MODELS[0] / "model", tmp_path / "model"))
    kept, model = load(folder), load(folder)
    shutil.rmtree(folder)
    for found in (kept[0].tokenizer, kept[0].config, model[0].model.config):
        assert found.name_or_path == str(folder)


def test_a_file_that_is_new_does_not_count(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / MODELS[0] / "model", tmp_path / "model"))
    model = load(folder)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert model[0].tokenizer.chat_template is None


def test_a_downloaded_model_needs_its_cache_no_more(hub: HubServer, tmp_path: Path) -> None:
    folder = GOLDEN / MODELS[0] / "model"
    hub.add_repo("kept/model")
    hub.commit("kept/model", {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    model = CrossEncoder("kept/model", device="cpu", backend="auto", cache_folder=str(tmp_path / "cache"))
    expected = model.predict(PAIRS)
    shutil.rmtree(tmp_path / "cache")
    hub.rename("kept/model", "moved/model")
    assert model[0].tokenizer.name_or_path == "kept/model"
    np.testing.assert_allclose(with_its_model(model), expected, atol=1e-5)


def test_what_is_kept_matches_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pairchain_transformer.checkpoint import kept_files

    folder = Path(shutil.copytree(GOLDEN / MODELS[0] / "model", tmp_path / "model"))
    lock = pairchain.lock(folder, None)
    assert load(folder, lock=lock)[0].config.model_type == "bert"
    original = kept_files.KeptFiles.of

    def changed_first(source: Any) -> Any:
        # as if another process changed it between the verification and the end of the load
        edited(folder, "tokenizer_config.json", model_max_length=3)
        return original(source)

    monkeypatch.setattr(kept_files.KeptFiles, "of", changed_first)
    with pytest.raises(LockError, match=r"tokenizer_config\.json"):
        load(folder, lock=lock)
