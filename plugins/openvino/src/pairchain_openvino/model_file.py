"""Reads what an OpenVINO file names before the runtime opens it.

Format: https://docs.openvino.ai/2026/documentation/openvino-ir-format.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from pairchain.errors import FormatError

_NEXT = "choose another file by file_name, or pass model_kwargs={'export': True}."

# Sets of operators that OpenVINO itself implements; others come from extensions, which are libraries of code.
_OPSET = re.compile(r"opset[0-9]{1,3}")
_MOST_BYTES = 1 << 28
_MOST_LAYERS = 1_000_000
_DEEPEST = 128


@dataclass
class ModelFile:
    """What an ``.xml`` file names.

    Attributes:
        operators: The types of all layers.
        weights: The number of bytes of the ``.bin`` file that it reads.
    """

    operators: set[str] = field(default_factory=set)
    weights: int = 0
    _foreign: set[str] = field(default_factory=set)
    _layer: str = ""
    _layers: int = 0
    _depth: int = 0

    @classmethod
    def read(cls, data: bytes, name: str) -> ModelFile:
        """Return what the file ``name`` with the content ``data`` names.

        Raises:
            FormatError: It is damaged or too large, or names operators of extensions.
        """
        if len(data) > _MOST_BYTES:
            raise FormatError(f"the file is larger than {_MOST_BYTES >> 20} MiB.", where=name, next_step=_NEXT)
        found = cls()
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = found._start, found._end
        # entities could name files, or expand without end
        parser.StartDoctypeDeclHandler = _refuse_doctype
        try:
            parser.Parse(data, True)
        except (expat.ExpatError, ValueError) as error:
            raise FormatError(
                f"the OpenVINO file is damaged: {error}.", where=name, next_step="save or fetch the model again."
            ) from error
        if not found.operators:
            raise FormatError("the OpenVINO file has no layers.", where=name, next_step=_NEXT)
        if found._foreign:
            raise FormatError(
                "the OpenVINO file has operators of extensions, which are never loaded: "
                f"{', '.join(sorted(found._foreign)[:5])}.",
                where=name,
                next_step=_NEXT,
            )
        if "ReadValue" in found.operators:
            raise FormatError(
                "the OpenVINO file keeps a state from one call to the next, so it continues a text, and a score has no "
                "earlier call.",
                where=name,
                next_step=_NEXT,
            )
        return found

    @property
    def is_quantized(self) -> bool:
        """Whether activations are quantised as the graph runs."""
        return "FakeQuantize" in self.operators

    def _start(self, element: str, attributes: dict[str, Any]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"elements are nested more than {_DEEPEST} deep")
        if element == "layer":
            self._layers += 1
            if self._layers > _MOST_LAYERS:
                raise ValueError(f"it has more than {_MOST_LAYERS:,} layers")
            self._layer = attributes.get("type", "")
            self.operators.add(self._layer)
            if not _OPSET.fullmatch(attributes.get("version", "")):
                self._foreign.add(f"{attributes.get('version', '')}.{self._layer}")
        elif element == "data" and "offset" in attributes and "size" in attributes:
            start, size = int(attributes["offset"]), int(attributes["size"])
            if start < 0 or size < 0:
                raise ValueError("it names weights at a negative place")
            self.weights = max(self.weights, start + size)

    def _end(self, element: str) -> None:
        self._depth -= 1


def _refuse_doctype(*_: Any) -> None:
    raise ValueError("it declares a document type, which no model does")
