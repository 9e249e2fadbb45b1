"""The backend `onnx`: keeps the contract, runs what models ship, exports the rest, and refuses what may not load."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hub_server import HubServer
from onnx import TensorProto, helper
from shipped_graphs import CLASSIFIER, copy_with
from tiny_models import GOLDEN, PAIRS, load, save_tiny, scores
from torch import nn

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import ChainError, FormatError, InputError, LockError, PairchainError, UnsafePathError
from pairchain.testing import BackendContract
from pairchain_graph.exporting import exports_folder
from pairchain_onnx.backend import OnnxBackend


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that ships `onnx/model.onnx`."""
    return copy_with("onnx", tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("shipped") / "model")


@pytest.fixture
def model(shipped: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(shipped, tmp_path / "model"))


class TestOnnx(BackendContract):
    name = "onnx"
    saves = False

    @pytest.fixture(autouse=True)
    def _model(self, shipped: Path) -> None:
        self.shipped = shipped

    def make_checkpoint(self, folder: Path) -> Path:
        return Path(shutil.copytree(self.shipped, folder))

    def make_unsupported(self, folder: Path) -> Path:
        # a task whose output no graph is known to have
        saved = Path(save_tiny(folder, "bert", "ForMaskedLM"))
        (saved / "sentence_bert_config.json").write_text('{"transformer_task": "fill-mask"}')
        shutil.copy(GOLDEN / "pooling_mean" / "model" / "modules.json", saved)
        return folder

    def test_it_refuses_a_model_with_its_reason(self, tmp_path: Path) -> None:
        folder = self.make_unsupported(tmp_path / "model")
        assert "fill-mask" in self._refusal(folder)


def raw(model: CrossEncoder, pairs: Any = PAIRS) -> np.ndarray:
    return model.predict(pairs, activation_fn=nn.Identity())


@pytest.mark.parametrize(
    ("kind", "head", "settings"),
    [
        ("roberta", "ForSequenceClassification", {"num_labels": 3}),
        ("modernbert", "ForSequenceClassification", {"num_labels": 1}),
        ("qwen3", "ForSequenceClassification", {"num_labels": 1, "pad_token_id": 0}),
        ("qwen3", "ForCausalLM", {}),
    ],
)
def test_an_export_scores_as_the_model(kind: str, head: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path, kind, head, **settings))
    pairs = [*PAIRS, ("berlin " * 30, "people " * 60)]
    assert np.allclose(raw(load(folder, backend="onnx"), pairs), raw(load(folder), pairs), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pooling_mean", "pooling_cls", "qwen3_causal_logitscore"])
def test_heads_after_it_read_its_output(name: str) -> None:
    folder = GOLDEN / name / "model"
    assert np.allclose(raw(load(folder, backend="onnx")), raw(load(folder)), atol=1e-5)


@pytest.mark.slow
def test_an_export_is_made_once(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CLASSIFIER, tmp_path / "model"))
    made = load(folder, backend="onnx")[0].execution.content.places[None][0]
    assert made.is_relative_to(exports_folder())
    before = made.stat().st_mtime_ns
    load(folder, backend="onnx")
    assert made.stat().st_mtime_ns == before
    made.write_bytes(made.read_bytes()[:100])
    assert scores(folder, backend="onnx") == pytest.approx(scores(folder), abs=1e-5)


def test_a_repository_may_ship_a_graph(hub: HubServer, shipped: Path) -> None:
    hub.add_repo("graphs/model")
    names = ["config.json", "modules.json", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json"]
    # without weights that the library could load
    hub.commit("graphs/model", {name: (shipped / name).read_bytes() for name in [*names, "onnx/model.onnx"]})
    with pytest.warns(pairchain.PairchainWarning, match="no settings file"):
        model = CrossEncoder("graphs/model", backend="onnx", device="cpu")
    assert model.predict(PAIRS).tolist() == pytest.approx(scores(shipped), abs=1e-5)


def test_random_weights_are_exported_but_not_kept(tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path, "bert", num_hidden_layers=2))
    before = set(exports_folder().glob("onnx/*"))
    with pytest.warns(pairchain.PairchainWarning, match="random"):
        model = load(folder, backend="onnx")
    assert set(exports_folder().glob("onnx/*")) == before
    with pytest.raises(PairchainError, match="random"):
        model.predict(PAIRS)


def test_nothing_is_exported_if_the_caller_forbids_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model\.onnx.*export=False"):
        load(CLASSIFIER, backend="onnx", model_kwargs={"export": False})


def test_the_caller_names_the_file(model: Path) -> None:
    (model / "onnx/model.onnx").rename(model / "onnx/model_O3.onnx")
    shutil.copy(model / "onnx/model_O3.onnx", model / "other.onnx")
    for name in ("model_O3.onnx", "onnx/model_O3.onnx", "other.onnx"):
        options = {"file_name": name, "export": False}
        assert scores(model, backend="onnx", model_kwargs=options) == pytest.approx(scores(model), abs=1e-5)
    with pytest.raises(InputError, match=r"no model_O4\.onnx.*it has onnx/model_O3\.onnx, other\.onnx"):
        load(model, backend="onnx", model_kwargs={"file_name": "model_O4.onnx"})
    with pytest.raises(UnsafePathError):
        load(model, backend="onnx", model_kwargs={"file_name": "../model.onnx"})


@pytest.mark.slow
def test_int8_names_the_best_file_for_this_processor(model: Path) -> None:
    with pytest.raises(InputError, match=r"none of .*model_quantized"):
        load(model, backend="onnx", model_kwargs={"file_name": "int8"})
    path = OnnxBackend().export(load(model, backend="onnx")[0].execution, model, int8=True)
    (model / "onnx/model.onnx").unlink()
    found = load(model, backend="onnx", model_kwargs={"file_name": "int8"})
    assert found[0].execution.content.places[None][0] == path
    assert found[0].execution.graph.is_quantized
    assert raw(found) == pytest.approx(raw(load(model)), abs=0.05)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"file": "model.onnx"}, r"takes no model_kwargs 'file' \(did you mean 'file_name'"),
        ({"file_name": 3}, "'file_name' is 3, not a string"),
        ({"export": "yes"}, "'export' is 'yes', not True, False or None"),
        ({"export": True, "file_name": "model.onnx"}, "ask to export the model, and for the file"),
        ({"dtype": "bfloat16"}, "cannot load a model as bfloat16"),
        ({"provider": "CPUExecutionProvide"}, r"no provider 'CPUExecutionProvide' \(did you mean 'CPU"),
        ({"session_options": {}}, "session_options is dict"),
    ],
)
def test_settings_that_it_does_not_have_are_refused(settings: dict[str, Any], said: str, model: Path) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load(model, backend="onnx", model_kwargs=settings)
    assert caught.value.argument in ("model_kwargs", "backend")


def test_the_caller_may_choose_provider_and_session(model: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    given = {"provider": "CPUExecutionProvider", "provider_options": {}, "session_options": options, "dtype": "float32"}
    assert scores(model, backend="onnx", model_kwargs=given) == pytest.approx(scores(model), abs=1e-5)


def test_a_session_has_as_many_threads_as_torch_would_use(model: Path) -> None:
    found = load(model, backend="onnx")
    graph = found[0].execution.graph
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        expected = scores(model)
        assert found.predict(PAIRS).tolist() == pytest.approx(expected, abs=1e-5)
    finally:
        torch.set_num_threads(before)
    assert 2 in graph._sessions


def test_a_graph_is_not_trained_or_called_by_itself(model: Path) -> None:
    found = load(model, backend="onnx")
    with pytest.raises(ChainError, match="cannot be trained"):
        found[0].train()(found[0].preprocess(PAIRS))
    with pytest.raises(ChainError, match="part of its Transformer"):
        found[0].model(input_ids=torch.zeros(1, 2))


def test_inspect_says_what_it_could_load(model: Path, tmp_path: Path) -> None:
    assert pairchain.inspect(model).backends["onnx"] == ""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "a/b", "task_type": "SEQ_CLS"}')
    assert "adapter" in pairchain.inspect(adapter, local_files_only=True).facts.backends.get("onnx", "adapter")


# damaged and malicious files


def changed(model: Path, change: Callable[[Any], None]) -> Path:
    path = model / "onnx/model.onnx"
    graph = onnx.load(path)
    change(graph)
    path.write_bytes(graph.SerializeToString())
    return model


def add_node(operator: str, domain: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.graph.node.append(helper.make_node(operator, ["logits"], ["more"], domain=domain))
        model.opset_import.append(helper.make_opsetid(domain, 1))

    return change


def add_nested_node(model: Any) -> None:
    inner = helper.make_graph([helper.make_node("Run", ["x"], ["y"], domain="evil")], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))


def add_function(model: Any) -> None:
    node = helper.make_node("Run", ["x"], ["y"], domain="evil")
    domain = [helper.make_opsetid("evil", 1)]
    model.functions.append(helper.make_function("com.own", "Twice", ["x"], ["y"], [node], domain))


@pytest.mark.parametrize(
    "change",
    [
        add_node("Run", "evil"),
        add_node("EPContext", "com.microsoft"),
        add_node("PythonOp", "com.microsoft"),
        add_nested_node,
        add_function,
    ],
)
def test_operators_of_others_are_refused(change: Callable[[Any], None], model: Path) -> None:
    with pytest.raises(FormatError, match=r"operators of others.*(evil\.Run|EPContext|PythonOp)"):
        load(changed(model, change), backend="onnx")


def external(location: str, nested: bool = False) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = TensorProto(name="more", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=location)
        if nested:
            model.graph.node.append(helper.make_node("Constant", [], ["more"], value=tensor))
        else:
            model.graph.initializer.append(tensor)

    return change


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("location", ["/etc/passwd", "../model.safetensors", "a/../../b", "", "..\\b", "C:b"])
def test_weights_outside_the_model_are_refused(location: str, nested: bool, model: Path) -> None:
    with pytest.raises(UnsafePathError, match="outside the model's folder"):
        load(changed(model, external(location, nested)), backend="onnx")


def test_weights_behind_a_link_out_of_the_model_are_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4))
    (model / "onnx/weights").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafePathError):
        load(changed(model, external("weights")), backend="onnx")


def test_weights_that_are_missing_are_told(model: Path) -> None:
    with pytest.raises(FormatError, match=r"onnx/weights is missing"):
        load(changed(model, external("weights")), backend="onnx")


def test_weights_beside_the_graph_are_read(model: Path) -> None:
    expected = scores(model, backend="onnx")
    path = model / "onnx/model.onnx"
    graph = onnx.load(path)
    onnx.save(graph, path, save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    assert (model / "onnx/model.onnx_data").stat().st_size > 50_000
    # a session that named the file by itself would look for it here
    before = Path.cwd()
    os.chdir(model)
    try:
        assert scores(model, backend="onnx") == pytest.approx(expected, abs=1e-6)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("length", [0, 1, 1000, 50_000])
def test_a_file_that_is_cut_off_is_refused(length: int, model: Path) -> None:
    path = model / "onnx/model.onnx"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FormatError, match=r"model\.onnx") as caught:
        load(model, backend="onnx")
    assert caught.value.next_step


def test_a_file_that_is_too_large_is_not_read(model: Path) -> None:
    with (model / "onnx/model.onnx").open("r+b") as file:
        file.truncate(1 << 33)
    with pytest.raises(FormatError, match="cannot be a graph"):
        load(model, backend="onnx")


def test_a_graph_that_is_nested_without_end_is_refused(model: Path) -> None:
    def field(number: int, data: bytes) -> bytes:
        length = len(data)
        digits = []
        while length > 127:
            digits.append(length & 127 | 128)
            length >>= 7
        return bytes([number << 3 | 2, *digits, length]) + data

    # node, attribute, graph
    graph = b""
    for _ in range(60):
        graph = field(1, field(5, field(6, graph)))
    (model / "onnx/model.onnx").write_bytes(field(7, graph))
    with pytest.raises(FormatError, match="nested"):
        load(model, backend="onnx")


def test_a_graph_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    other = Path(save_tiny(tmp_path / "other", "bert", "ForSequenceClassification", num_labels=3))
    OnnxBackend().export(load(other, backend="onnx")[0].execution, model)
    with pytest.raises(FormatError, match=r"has the shape \(2, 3\).*last axis is 1"):
        load(model, backend="onnx")


def test_a_graph_that_takes_more_is_refused(model: Path) -> None:
    def change(graph: Any) -> None:
        graph.graph.input.append(helper.make_tensor_value_info("past_key_values.0.key", TensorProto.FLOAT, [1]))

    with pytest.raises(FormatError, match=r"takes past_key_values\.0\.key"):
        load(changed(model, change), backend="onnx")


def test_a_graph_must_match_the_lock(model: Path) -> None:
    lock = pairchain.lock(model, None)
    assert load(model, backend="onnx", lock=lock).predict(PAIRS).shape == (2,)
    changed(model, lambda graph: setattr(graph, "doc_string", "other"))
    with pytest.raises(LockError, match=r"onnx/model\.onnx changed"):
        load(model, backend="onnx", lock=lock)


def test_a_graph_that_changed_after_the_load_does_not_run(model: Path) -> None:
    found = load(model, backend="onnx")
    changed(model, lambda graph: setattr(graph, "doc_string", "other"))
    before = torch.get_num_threads()
    try:
        # sessions are opened for a number of threads
        torch.set_num_threads(before + 1)
        with pytest.raises(LockError, match="changed since the model was loaded"):
            found.predict(PAIRS)
    finally:
        torch.set_num_threads(before)
