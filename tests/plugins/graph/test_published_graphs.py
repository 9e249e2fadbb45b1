"""Graphs as publishers export them: with positions, with a cache, with windows; and loads without the library."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from shipped_graphs import CLASSIFIER, shipped_graphs
from tiny_models import PAIRS, edited, load, save_tiny
from torch import nn

import pairchain
from pairchain.errors import FormatError, SourceError
from pairchain_graph.config import POSITIONS_AFTER_PADDING
from pairchain_onnx.backend import LAYOUT
from pairchain_openvino.model_file import ModelFile
from pairchain_transformer import architectures

LONG = [("berlin " * 20, "people " * 20), *PAIRS]


def raw(folder: Path, backend: str, pairs: Any = LONG, **options: Any) -> np.ndarray:
    return load(folder, backend=backend, **options).predict(pairs, activation_fn=nn.Identity())


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that ships a graph for each runtime."""
    return shipped_graphs(tmp_path_factory.getbasetemp())


class WithPositions(nn.Module):
    """What publishers export: positions are an input."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(ids, attention_mask=mask, position_ids=positions, return_dict=True).logits
        return logits


@pytest.mark.parametrize(("kind", "settings"), [("bert", {}), ("roberta", {}), ("qwen3", {"pad_token_id": 0})])
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_graph_may_take_positions(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path, kind, "ForSequenceClassification", num_labels=1, **settings))
    found = load(folder, backend="transformers")
    for name, weight in found[0].model.named_parameters():
        if "position_embeddings" in name:
            # so that a wrong position shows
            nn.init.normal_(weight)
    found.save_pretrained(folder)
    (folder / "onnx").mkdir()
    ids = torch.arange(4, 18).reshape(2, 7)
    positions = torch.arange(7).expand(2, 7) + (2 if kind == "roberta" else 0)
    names = ["input_ids", "attention_mask", "position_ids"]
    torch.onnx.export(
        WithPositions(found[0].model.eval()),
        (ids, torch.ones_like(ids), positions),
        str(folder / "onnx/model.onnx"),
        dynamo=False,
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names},
    )
    np.testing.assert_allclose(raw(folder, "onnx"), raw(folder, "transformers"), atol=1e-5)
    for pair in LONG[:2]:
        np.testing.assert_allclose(raw(folder, "onnx", [pair]), raw(folder, "transformers", [pair]), atol=1e-5)


def test_the_architectures_with_positions_after_padding_are_those_of_the_library() -> None:
    assert POSITIONS_AFTER_PADDING == architectures.POSITIONS_AFTER_PADDING


@pytest.mark.parametrize(
    "names", [["past_key_values.0.key", "past_key_values.0.value"], ["use_cache_branch"], ["beam_idx"], ["nonsense"]]
)
def test_a_graph_with_other_inputs_is_refused_with_the_reason(names: list[str], shipped: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shipped, tmp_path / "model"))
    path = folder / LAYOUT.folder / LAYOUT.plain
    graph = onnx.load(path)
    for name in names:
        graph.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]))
    onnx.save(graph, path)
    reason = "does not compute" if names == ["nonsense"] else "continues a text from an earlier call"
    with pytest.raises(FormatError, match=f"takes {names[0]}.*{reason}") as caught:
        load(folder, backend="onnx")
    assert "file_name" in caught.value.next_step


def test_an_openvino_graph_with_a_state_is_refused() -> None:
    layers = '<layer id="0" name="a" type="ReadValue" version="opset6"/>'
    with pytest.raises(FormatError, match="keeps a state from one call to the next"):
        ModelFile.read(f"<net><layers>{layers}</layers></net>".encode(), "model.xml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("modernbert", {"local_attention": 4, "num_hidden_layers": 4}),
        ("mistral", {"sliding_window": 4, "num_hidden_layers": 3, "pad_token_id": 0}),
    ],
)
def test_padding_outside_a_window_is_computed(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path, kind, "ForSequenceClassification", num_labels=1, **settings))
    np.testing.assert_allclose(raw(folder, "openvino"), raw(folder, "transformers"), atol=1e-5)


@pytest.mark.slow
def test_a_wide_window_is_exported_in_the_same_way(tmp_path: Path) -> None:
    # too wide for the inputs that compare an export with its model
    settings = {"sliding_window": 300, "num_hidden_layers": 2, "pad_token_id": 0, "max_position_embeddings": 1000}
    folder = Path(save_tiny(tmp_path, "mistral", "ForSequenceClassification", num_labels=1, **settings))
    pairs = [("berlin " * 300, "people " * 300), ("a", "b")]
    np.testing.assert_allclose(raw(folder, "openvino", pairs), raw(folder, "transformers", pairs), atol=1e-5)


def test_inspect_shows_what_each_backend_would_load(shipped: Path, tmp_path: Path) -> None:
    loads = pairchain.inspect(shipped).to_json()["backend_loads"]
    assert loads == {
        "onnx": "onnx/model.onnx",
        "openvino": "openvino/openvino_model.xml",
        "packed": "model.safetensors",
    }
    assert "backend onnx: can load it: onnx/model.onnx" in str(pairchain.inspect(shipped))
    assert "backend onnx: can load it: an export" in str(pairchain.inspect(CLASSIFIER))
    without = Path(shutil.copytree(shipped, tmp_path / "model"))
    (without / "model.safetensors").unlink()
    shutil.rmtree(without / "openvino")
    backends = pairchain.inspect(without).backends
    assert (backends["onnx"], "no weights" in backends["openvino"]) == ("", True)


def test_a_deleted_folder_is_told_if_a_graph_is_opened_again(shipped: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shipped, tmp_path / "model"))
    model = load(folder, backend="onnx")
    expected = model.predict(PAIRS)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(model.predict(PAIRS), expected)
    assert model[0].tokenizer("a b")["input_ids"]
    assert model[0].config.model_type == "bert"
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        with pytest.raises(SourceError, match=r"model\.onnx can no longer be read"):
            model.predict(PAIRS)
    finally:
        torch.set_num_threads(before)


def test_the_librarys_objects_are_there_when_something_asks(shipped: Path) -> None:
    model = load(shipped, backend="onnx")
    expected = model.predict(PAIRS)
    assert type(model[0].config).__module__.startswith("transformers.")
    assert type(model[0].tokenizer).__module__.startswith("transformers.")
    model.max_seq_length = 9
    assert model[0].tokenizer.model_max_length == 9
    model.max_seq_length = 64
    np.testing.assert_allclose(model.predict(PAIRS), expected, atol=1e-6)
    model.train().eval()
    assert model[0].get_embedding_dimension() == load(CLASSIFIER)[0].get_embedding_dimension()


def test_a_configuration_that_leaves_things_out_is_read_by_the_library(shipped: Path, tmp_path: Path) -> None:
    folder = edited(Path(shutil.copytree(shipped, tmp_path / "model")), "config.json", pad_token_id=None)
    model = load(folder, backend="onnx")
    assert type(model[0].reader).__module__.startswith("transformers.")
    np.testing.assert_allclose(model.predict(PAIRS), load(shipped, backend="onnx").predict(PAIRS), atol=1e-6)


@pytest.mark.slow
def test_neither_runtime_imports_the_transformers_library(shipped: Path) -> None:
    script = f"""
import sys
from pairchain import CrossEncoder, inspect
for backend in ("onnx", "openvino"):
    for path in {[str(shipped), str(CLASSIFIER)]!r}:
        # the second was exported before
        model = CrossEncoder(path, device="cpu", backend=backend)
        model.predict({PAIRS!r}, prompt="a prompt")
        model.rank("a", ["b", "c d"], truncation="document", max_length=40)
        repr(model), str(inspect(path)), model.num_labels, model.max_seq_length
print("transformers" in sys.modules)
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines() == ["False"]
