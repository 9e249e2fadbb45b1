"""The backend `openvino`: keeps the contract, runs what models ship or exports the rest, and refuses unsafe files."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shipped_graphs import copy_with
from tiny_models import GOLDEN, PAIRS, load, save_tiny, scores
from torch import nn

import pairchain
from pairchain.errors import FormatError, InputError, LockError, UnsafePathError
from pairchain.testing import BackendContract
from pairchain_openvino.backend import OpenvinoBackend

GRAPH = "openvino/openvino_model.xml"


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that ships `openvino/openvino_model.xml`."""
    return copy_with("openvino", tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("shipped") / "model")


@pytest.fixture
def model(shipped: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(shipped, tmp_path / "model"))


class TestOpenvino(BackendContract):
    name = "openvino"
    saves = False

    @pytest.fixture(autouse=True)
    def _model(self, shipped: Path) -> None:
        self.shipped = shipped

    def make_checkpoint(self, folder: Path) -> Path:
        return Path(shutil.copytree(self.shipped, folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "head", "settings"),
    [("modernbert", "ForSequenceClassification", {"num_labels": 3}), ("qwen3", "ForCausalLM", {})],
)
def test_an_export_scores_as_the_model(kind: str, head: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path, kind, head, **settings))
    pairs = [*PAIRS, ("berlin " * 30, "people " * 60)]
    found, expected = (
        load(folder, backend=backend).predict(pairs, activation_fn=nn.Identity())
        for backend in ("openvino", "transformers")
    )
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_heads_after_it_read_its_output() -> None:
    folder = GOLDEN / "pooling_mean" / "model"
    assert scores(folder, backend="openvino") == pytest.approx(scores(folder), abs=1e-5)


@pytest.mark.slow
def test_the_caller_chooses_file_device_and_configuration(model: Path, tmp_path: Path) -> None:
    for ending in ("xml", "bin"):
        (model / f"openvino/openvino_model.{ending}").rename(
            model / f"openvino/openvino_model_qint8_quantized.{ending}"
        )
    (tmp_path / "ov.json").write_text(json.dumps({"NUM_STREAMS": 1}))
    for config in ({"PERFORMANCE_HINT": "LATENCY"}, str(tmp_path / "ov.json")):
        given = {"file_name": "int8", "device": "CPU", "ov_config": config, "export": False}
        assert scores(model, backend="openvino", model_kwargs=given) == pytest.approx(scores(model), abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"provider": "CPU"}, "takes no model_kwargs 'provider'"),
        ({"ov_config": 3}, "ov_config is int"),
        ({"ov_config": "nowhere.json"}, "ov_config cannot be read"),
        ({"device": 3}, "device is 3"),
        ({"file_name": "openvino_model_O3.xml"}, r"no openvino_model_O3\.xml.*it has openvino/openvino_model\.xml"),
    ],
)
def test_settings_that_it_does_not_have_are_refused(settings: dict[str, Any], said: str, model: Path) -> None:
    with pytest.raises(InputError, match=said):
        load(model, backend="openvino", model_kwargs=settings)


@pytest.mark.slow
def test_a_graph_is_compiled_for_as_many_threads_as_torch_would_use(model: Path) -> None:
    found = load(model, backend="openvino")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert found.predict(PAIRS).tolist() == pytest.approx(scores(model), abs=1e-5)
    finally:
        torch.set_num_threads(before)
    assert 2 in found[0].execution.graph._compiled


def test_nothing_is_sent_to_its_makers(model: Path) -> None:
    scores(model, backend="openvino")
    assert "openvino_telemetry" not in sys.modules


def test_int8_is_refused_with_what_to_use() -> None:
    with pytest.raises(InputError, match="int8") as caught:
        OpenvinoBackend().int8_name()
    assert "nncf" in caught.value.next_step


# damaged and malicious files


def changed(model: Path, change: Callable[[str], str]) -> Path:
    path = model / GRAPH
    path.write_text(change(path.read_text()))
    return model


ENTITY = '<!DOCTYPE net [<!ENTITY file SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('version="opset1"', 'version="evil"', 1), r"operators of extensions.*evil\."),
        (lambda text: text.replace('version="opset1"', 'version="extension"', 1), "operators of extensions"),
        (lambda text: text.replace('version="opset1"', "", 1), "operators of extensions"),
        (lambda text: text.replace("<net", f"{ENTITY}<net", 1), "declares a document type"),
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: "<net/>", "has no layers"),
        (lambda text: "<a>" * 1000, "nested"),
        (lambda text: text.replace('offset="', 'offset="99999999', 1), "has .* bytes, and the graph reads"),
        (lambda text: text.replace('offset="', 'offset="-9', 1), "negative place"),
        (lambda text: "", "cannot be a graph"),
    ],
)
def test_a_graph_that_may_not_load_is_refused(change: Callable[[str], str], said: str, model: Path) -> None:
    with pytest.raises(FormatError, match=said):
        load(changed(model, change), backend="openvino")


def test_weights_that_are_missing_or_cut_off_are_told(model: Path) -> None:
    path = model / "openvino/openvino_model.bin"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FormatError, match=r"openvino_model\.bin has 1,000 bytes"):
        load(model, backend="openvino")
    path.unlink()
    with pytest.raises(FormatError, match=r"openvino_model\.bin is missing"):
        load(model, backend="openvino")


def test_weights_behind_a_link_out_of_the_model_are_refused(model: Path, tmp_path: Path) -> None:
    (model / "openvino/openvino_model.bin").rename(tmp_path / "weights")
    (model / "openvino/openvino_model.bin").symlink_to(tmp_path / "weights")
    with pytest.raises(UnsafePathError):
        load(model, backend="openvino")


def test_a_graph_must_match_the_lock(model: Path) -> None:
    lock = pairchain.lock(model, None)
    assert load(model, backend="openvino", lock=lock).predict(PAIRS).shape == (2,)
    changed(model, lambda text: f"{text}\n")
    with pytest.raises(LockError, match=r"openvino_model\.xml changed"):
        load(model, backend="openvino", lock=lock)
