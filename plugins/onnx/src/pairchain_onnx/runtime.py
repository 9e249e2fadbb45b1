"""ONNX Runtime: checking its files, running and exporting graphs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnxruntime
import torch

from pairchain import Source
from pairchain.authoring import nearest
from pairchain.errors import FormatError, InputError, MissingPackageError
from pairchain_graph.content import Content, read_content
from pairchain_graph.runtime import Graph, Port, Runtime, Sessions
from pairchain_graph.tracing import Traced
from pairchain_onnx.model_file import ModelFile

_OPSET = 18
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(double)": np.dtype(np.float64),
}


class OnnxRuntime(Runtime):
    """Runs ONNX files."""

    versions: Mapping[str, str] = {"onnxruntime": onnxruntime.__version__, "opset": str(_OPSET)}

    def content(self, source: Source, path: str) -> Content:
        """Return the file at ``path`` and its weights; see `Runtime.content`."""
        content = read_content(source, path)
        found = ModelFile.read(content.main, content.name)
        folder = PurePosixPath(path).parent
        return content.with_weights(source, {name: str(folder / name) for name in sorted(found.externals)})

    def open(self, content: Content, settings: Mapping[str, Any]) -> Graph:
        """Return the graph; see `Runtime.open`."""
        return OnnxGraph(content, settings)

    def export(self, traced: Traced, path: Path) -> None:
        """Write the graph with PyTorch's exporter; see `Runtime.export`."""
        try:
            import onnx
        except ImportError as error:
            raise MissingPackageError(
                "exporting a model to ONNX needs the package onnx, which is not installed.",
                next_step="pip install 'pairchain-onnx[export]'; a model that ships an ONNX file needs no export.",
            ) from error
        axes = {name: {0: "batch", 1: "sequence"} for name in traced.names}
        axes[traced.field] = {0: "batch", 1: "sequence"} if traced.has_positions else {0: "batch"}
        torch.onnx.export(
            traced,
            traced.example(),
            str(path),
            dynamo=False,
            input_names=traced.names,
            output_names=[traced.field],
            dynamic_axes=axes,
            opset_version=_OPSET,
        )
        written = [file.name for file in path.parent.iterdir() if file != path]
        if written:
            # too large for one file, so the exporter wrote one for each weight
            model = onnx.load(str(path))
            for name in written:
                (path.parent / name).unlink()
            onnx.save(model, str(path), save_as_external_data=True, location=f"{path.name}_data")


class OnnxGraph(Graph):
    """A graph in sessions of ONNX Runtime.

    Args:
        content: The graph's files.
        settings: ``provider``, ``provider_options`` and ``session_options``.
    """

    def __init__(self, content: Content, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._provider = _checked_provider(settings.get("provider"))
        self.is_quantized = ModelFile.read(content.main, content.name).is_quantized
        # with a method of its own, the graph would live until the garbage collector finds it
        opened = partial(_opened, settings, self._provider)
        self._sessions = Sessions(content, opened, has_own_threads=self._has_own_threads)
        session = self._sessions.first
        self.inputs = {node.name: _port(node, content.name) for node in session.get_inputs()}
        self.outputs = {node.name: _port(node, content.name) for node in session.get_outputs()}

    def run(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        """Return ``output``; see `Graph.run`."""
        with self._sessions.current() as session:
            array: np.ndarray = session.run([output], dict(inputs))[0]
        return array

    @property
    def _has_own_threads(self) -> bool:
        """Whether the caller decides about threads, or a device that is not a CPU runs the graph."""
        return self._settings.get("session_options") is not None or self._provider != _CPU


def _opened(settings: Mapping[str, Any], provider: str, content: Content, threads: int) -> Any:
    options = settings.get("session_options")
    if options is None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
    elif not isinstance(options, onnxruntime.SessionOptions):
        raise InputError(
            f"session_options is {type(options).__name__}, not onnxruntime.SessionOptions.", argument="model_kwargs"
        )
    if content.weights:
        # given as bytes, so that the runtime opens no file that a graph names
        data = list(content.weights.values())
        options.add_external_initializers_from_files_in_memory(list(content.weights), data, list(map(len, data)))
    provider_options = settings.get("provider_options")
    chosen = (provider, dict(provider_options)) if provider_options else provider
    providers = [chosen] if provider == _CPU else [chosen, _CPU]
    try:
        return onnxruntime.InferenceSession(content.main, options, providers=providers)
    except Exception as error:
        raise FormatError(
            f"ONNX Runtime cannot open the graph: {str(error).splitlines()[0][:300]}",
            where=content.name,
            next_step="save or fetch the model again, or pass model_kwargs={'export': True}.",
        ) from error


def _checked_provider(name: Any) -> str:
    available = onnxruntime.get_available_providers()
    if name is None:
        return _CUDA if _CUDA in available and torch.cuda.is_available() else _CPU
    if name not in available:
        raise InputError(
            f"ONNX Runtime has no provider {name!r}{nearest(str(name), available)}.",
            next_step=f"it has {', '.join(available)}; packages such as onnxruntime-gpu have more.",
            argument="model_kwargs",
        )
    return str(name)


def _port(node: Any, name: str) -> Port:
    if (dtype := _DTYPES.get(node.type)) is None:
        raise FormatError(f"{node.name} of the graph is a {node.type}, which is not supported.", where=name)
    return Port(node.name, dtype)
