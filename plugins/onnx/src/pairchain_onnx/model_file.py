"""Reads what an ONNX file names before the runtime opens it: operators, and files of weights.

Field numbers: onnx.proto3 of https://github.com/onnx/onnx
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pairchain.errors import FormatError, UnsafePathError
from pairchain_onnx.wire import WireError, fields

# Domains whose operators ONNX Runtime itself implements.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
# Operators of these domains that run code, or read files or programs that the graph names.
_REFUSED = frozenset({"ATen", "EPContext", "ExternalCustomOp", "PythonOp", "PythonOpGrad", "Snpe", "TensorRTEngine"})
_QUANTIZES = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention"})

# Deeper nesting is no model's, and each level is a call here.
_DEEPEST = 32
_MOST_NODES = 1_000_000

Reader = Callable[[memoryview, int], None]


@dataclass
class ModelFile:
    """What an ONNX file names.

    Attributes:
        operators: The domain and name of every operator.
        functions: The domain and name of every function that the file itself defines.
        externals: The files that hold weights, relative to the file's folder.
    """

    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    externals: set[str] = field(default_factory=set)
    _nodes: int = 0
    _has_graph: bool = False

    @classmethod
    def read(cls, data: bytes, name: str) -> ModelFile:
        """Return what the file ``name`` with the content ``data`` names.

        Raises:
            FormatError: It is damaged or too large, or names operators that may not run.
            UnsafePathError: It names weights outside its folder.
        """
        found = cls()
        try:
            found._model(memoryview(data))
        except (WireError, UnicodeDecodeError) as error:
            raise FormatError(
                f"the ONNX file is damaged: {error}.", where=name, next_step="save or fetch the model again."
            ) from error
        if not found._has_graph:
            raise FormatError(
                "the ONNX file has no graph.", where=name, next_step="save or fetch the model again; it is incomplete."
            )
        found._check(name)
        return found

    @property
    def is_quantized(self) -> bool:
        """Whether activations are quantised as the graph runs."""
        return any(operator in _QUANTIZES for _, operator in self.operators)

    def _check(self, name: str) -> None:
        foreign = sorted(
            f"{domain or 'ai.onnx'}.{operator}"
            for domain, operator in self.operators - self.functions
            if domain not in _DOMAINS or operator in _REFUSED
        )
        if foreign:
            raise FormatError(
                f"the ONNX file has operators of others, which are never loaded: {', '.join(foreign[:5])}.",
                where=name,
                next_step="choose another file by file_name, or pass model_kwargs={'export': True}.",
            )
        for location in sorted(self.externals):
            place = PurePosixPath(location)
            if not location or place.is_absolute() or ".." in place.parts or "\\" in location or ":" in location:
                raise UnsafePathError(
                    f"the ONNX file names weights outside the model's folder: {location!r}.",
                    where=name,
                    next_step="do not load it; an honest export keeps its weights beside the file.",
                )

    def _model(self, data: memoryview) -> None:
        for number, value in fields(data):
            if number == 7:
                self._has_graph = True
                self._graph(_message(value), 0)
            elif number == 20:
                raise WireError("it holds instructions for training, which no export for scoring has")
            elif number == 25:
                self._function(_message(value))

    def _graph(self, data: memoryview, depth: int) -> None:
        if depth > _DEEPEST:
            raise WireError(f"graphs are nested more than {_DEEPEST} deep")
        for number, value in fields(data):
            if number == 1:
                self._node(_message(value), depth)
            elif number == 5:
                self._tensor(_message(value))
            elif number == 15:
                self._sparse_tensor(_message(value))

    def _function(self, data: memoryview) -> None:
        name = domain = ""
        for number, value in fields(data):
            if number == 1:
                name = _text(value)
            elif number == 10:
                domain = _text(value)
            elif number == 7:
                self._node(_message(value), 0)
            elif number == 11:
                self._attribute(_message(value), 0)
        if domain not in _DOMAINS:
            # a function cannot replace an operator of the runtime
            self.functions.add((domain, name))

    def _node(self, data: memoryview, depth: int) -> None:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise WireError(f"it has more than {_MOST_NODES:,} operators")
        operator = domain = ""
        for number, value in fields(data):
            if number == 4:
                operator = _text(value)
            elif number == 7:
                domain = _text(value)
            elif number == 5:
                self._attribute(_message(value), depth)
        self.operators.add((domain, operator))

    def _attribute(self, data: memoryview, depth: int) -> None:
        for number, value in fields(data):
            if number in (5, 10):
                self._tensor(_message(value))
            elif number in (6, 11):
                self._graph(_message(value), depth + 1)
            elif number in (22, 23):
                self._sparse_tensor(_message(value))

    def _sparse_tensor(self, data: memoryview) -> None:
        for number, value in fields(data):
            if number in (1, 2):
                self._tensor(_message(value))

    def _tensor(self, data: memoryview) -> None:
        entries: dict[str, str] = {}
        is_external = False
        for number, value in fields(data):
            if number == 13:
                entry = {place: _text(part) for place, part in fields(_message(value)) if place in (1, 2)}
                entries[entry.get(1, "")] = entry.get(2, "")
            elif number == 14:
                is_external = value == 1
        if is_external or "location" in entries:
            self.externals.add(entries.get("location", ""))


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise WireError("a number stands where a message belongs")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()
