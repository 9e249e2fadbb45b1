"""OpenVINO: checking its files, running and exporting graphs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import torch

from pairchain import Source
from pairchain.errors import FormatError, InputError
from pairchain_graph.content import Content, read_content
from pairchain_graph.runtime import Graph, Port, Runtime, Sessions
from pairchain_graph.tracing import Traced
from pairchain_openvino.model_file import ModelFile


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Keep OpenVINO from importing the package that sends usage data to its makers; it works without."""
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    if before is None:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is None:
            sys.modules.pop(name, None)


with _without_telemetry():
    import openvino


class OpenvinoRuntime(Runtime):
    """Runs OpenVINO's files: the graph in ``.xml``, and its weights in the ``.bin`` beside it."""

    versions: Mapping[str, str] = {"openvino": openvino.__version__}
    takes_hidden_rows = False

    def content(self, source: Source, path: str) -> Content:
        """Return the file at ``path`` and its weights; see `Runtime.content`."""
        content = read_content(source, path)
        found = ModelFile.read(content.main, content.name)
        weights = str(PurePosixPath(path).with_suffix(".bin"))
        content = content.with_weights(source, {PurePosixPath(weights).name: weights})
        if (size := content.size - len(content.main)) < found.weights:
            raise FormatError(
                f"{weights} has {size:,} bytes, and the graph reads {found.weights:,}.",
                where=str(source),
                next_step="save or fetch the model again; it is incomplete.",
            )
        return content

    def open(self, content: Content, settings: Mapping[str, Any]) -> Graph:
        """Return the graph; see `Runtime.open`."""
        return OpenvinoGraph(content, settings)

    def export(self, traced: Traced, path: Path) -> None:
        """Write the graph with OpenVINO's converter; see `Runtime.export`."""
        # traced here, because the converter would trace twice to compare; the graph is compared anyway
        graph = torch.jit.trace(traced, traced.example(), check_trace=False)
        model = openvino.convert_model(graph, example_input=traced.example())
        for port, name in zip(model.inputs, traced.names, strict=True):
            port.get_tensor().set_names({name})
        model.outputs[0].get_tensor().set_names({traced.field})
        model.reshape({name: openvino.PartialShape([-1, -1]) for name in traced.names})
        openvino.save_model(model, str(path), compress_to_fp16=False)


class OpenvinoGraph(Graph):
    """A graph that is compiled once for each number of threads; with one thread, several batches may run at once.

    Args:
        content: The graph's files.
        settings: ``device`` and ``ov_config``.
    """

    def __init__(self, content: Content, settings: Mapping[str, Any]) -> None:
        self._device = settings.get("device") or "CPU"
        if not isinstance(self._device, str):
            raise InputError(f"device is {self._device!r}, not a string.", argument="model_kwargs")
        self._config = _checked_config(settings.get("ov_config"))
        self.is_quantized = ModelFile.read(content.main, content.name).is_quantized
        # with a method of its own, the graph would live until the garbage collector finds it
        opened = partial(_compiled, self._device, self._config, self._has_own_threads)
        self._compiled = Sessions(content, opened, has_own_threads=self._has_own_threads)
        compiled = self._compiled.first
        # an output may have several names; one of them is the task's name for it
        self.inputs = {ports[0].name: ports[0] for ports in _ports(compiled.model.inputs, content.name)}
        self.outputs = {port.name: port for ports in _ports(compiled.model.outputs, content.name) for port in ports}

    def run(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        """Return ``output``; see `Graph.run`."""
        with self._compiled.current() as compiled:
            return compiled.run(inputs, output)

    @property
    def _has_own_threads(self) -> bool:
        """Whether the caller decides about threads, or a device that is not a CPU runs the graph."""
        return self._device != "CPU" or not self._config.keys().isdisjoint({"NUM_STREAMS", "INFERENCE_NUM_THREADS"})


class _Compiled:
    """A compiled graph and its requests; one thread at a time uses a request."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def run(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self.model.create_infer_request()
        # after an error the request is not used again
        found: np.ndarray = np.array(request.infer(dict(inputs), share_inputs=True, share_outputs=True)[output])
        self._idle.put(request)
        return found


def _compiled(
    device: str, given: Mapping[str, Any], has_own_threads: bool, content: Content, threads: int
) -> _Compiled:
    config = dict(given)
    if device == "CPU":
        # by default it computes in bfloat16 where the processor can
        config.setdefault("INFERENCE_PRECISION_HINT", "f32")
        if not has_own_threads:
            # a stream runs one batch; with one thread for each, as many may run as there are processors
            streams = _processors() if threads == 1 else 1
            config |= {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": max(threads, streams)}
    weights = b"".join(content.weights.values())
    try:
        model = _core().read_model(content.main, weights)
        return _Compiled(_core().compile_model(model, device, config))
    except Exception as error:
        raise FormatError(
            f"OpenVINO cannot open the graph: {' '.join(str(error).split())[:300]}",
            where=content.name,
            next_step="save or fetch the model again, or pass model_kwargs={'export': True}; and check ov_config.",
        ) from error


@cache
def _core() -> Any:
    return openvino.Core()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checked_config(given: Any) -> dict[str, Any]:
    """Return ``ov_config``: a dictionary, or the path of a JSON file with one."""
    if isinstance(given, str | os.PathLike):
        try:
            given = json.loads(Path(given).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"ov_config cannot be read: {error}.", argument="model_kwargs") from error
    if given is not None and not isinstance(given, Mapping):
        raise InputError(
            f"ov_config is {type(given).__name__}, neither a dictionary nor the path of a JSON file.",
            argument="model_kwargs",
        )
    return dict(given or {})


def _ports(ports: Any, name: str) -> Iterator[list[Port]]:
    """Yield each of ``ports`` under all of its names, the shortest first."""
    for port in ports:
        if not (names := sorted(port.get_names(), key=len)):
            raise FormatError("an input or output of the graph has no name.", where=name)
        yield [Port(own, np.dtype(port.get_element_type().to_dtype())) for own in names]
