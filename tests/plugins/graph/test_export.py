"""`pairchain export`, and `pairchain compare --backend`: files in the published layout, and their drift."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command import run
from hub_server import HubServer
from tiny_models import GOLDEN, scores

CLASSIFIER = GOLDEN / "bert_seqcls_1label" / "model"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A classifier that ships no graph."""
    return Path(shutil.copytree(CLASSIFIER, tmp_path / "model"))


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_graph_is_written_where_publishers_put_it(model: Path) -> None:
    before = files_of(model)
    ended = run("export", model, "--to", "onnx")
    assert ended.code == 0, ended.err
    assert files_of(model) - before == {"onnx/model.onnx"}
    assert "pairs: 48" in ended.out
    assert "rank correlation: 1.0000" in ended.out
    assert "same best document: 100% of queries" in ended.out
    assert scores(model, backend="onnx", model_kwargs={"export": False}) == pytest.approx(scores(model), abs=1e-5)


@pytest.mark.slow
def test_the_whole_model_is_written_to_another_folder(tmp_path: Path) -> None:
    ended = run("export", CLASSIFIER, "--to", "openvino", "-o", tmp_path / "new", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["file"] == str(tmp_path / "new/openvino/openvino_model.xml")
    assert told["largest"] < 1e-5
    assert {"openvino/openvino_model.bin", "model.safetensors", "modules.json"} <= files_of(tmp_path / "new")
    assert not (CLASSIFIER / "openvino").exists()
    again = run("export", CLASSIFIER, "--to", "openvino", "-o", tmp_path / "new")
    assert (again.code, "not empty" in again.err) == (1, True)


@pytest.mark.slow
def test_int8_that_drifts_too_far_is_not_written(model: Path, tmp_path: Path) -> None:
    before = files_of(model)
    (tmp_path / "pairs.csv").write_text("query,document\nx,berlin\nx,people\nx,museums\n")
    options = ("--to", "onnx", "--int8", "--least-correlation", "1", "--pairs", tmp_path / "pairs.csv")
    # no correlation is above one
    strict = run("export", model, *options[:-2], "--json")
    assert strict.code == 1
    assert "nothing was written: the rank correlation" in strict.err
    assert json.loads(strict.out)["file"] is None
    assert files_of(model) == before
    away = run("export", model, *options[:-2], "-o", tmp_path / "new")
    assert (away.code, (tmp_path / "new").exists()) == (1, False)
    forced = run("export", model, *options[:-2], "--force")
    assert forced.code == 0
    assert "in spite of its drift" in forced.err
    (new,) = files_of(model) - before
    assert new.startswith("onnx/model_q")
    assert "pairs: 3" in run("export", model, *options[:3], "--pairs", tmp_path / "pairs.csv", "--force").out


def test_what_cannot_be_exported_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    for arguments, said in (
        (("nowhere/at-all", "--to", "onx"), "did you mean 'onnx'"),
        (("nowhere/at-all", "--to", "transformers"), "no installed backend 'transformers' exports"),
        (("nowhere/at-all", "--to", "openvino", "--int8"), "nncf"),
    ):
        ended = run("export", *arguments)
        assert (ended.code, said in ended.err) == (1, True), ended.err


def test_a_repository_needs_a_folder_to_write_to(hub: HubServer) -> None:
    hub.add_repo("exported/model")
    hub.commit("exported/model", {name: (CLASSIFIER / name).read_bytes() for name in files_of(CLASSIFIER)})
    ended = run("export", "exported/model", "--to", "onnx")
    assert (ended.code, "--output FOLDER" in ended.err) == (1, True), ended.err


@pytest.mark.slow
def test_backends_are_compared(model: Path) -> None:
    assert run("export", model, "--to", "onnx", "--int8", "--force").code == 0
    exact = run("compare", model, "--backend", "onnx", "--tolerance", "1e-5")
    assert exact.code == 0, exact.err
    assert "rank correlation: 1.0000" in exact.out
    int8 = run("compare", model, "--backend", "onnx", "--file-name", "int8", "--json", "--tolerance", "1e-5")
    assert int8.code == 1
    assert 0.9 < json.loads(int8.out)["rank_correlation"] < 1
