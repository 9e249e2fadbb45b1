"""The backend ``openvino``; importing it imports neither torch nor OpenVINO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairchain.errors import InputError
from pairchain_graph.backend import GraphBackend
from pairchain_graph.files import Layout

if TYPE_CHECKING:
    from pairchain_graph.runtime import Runtime

LAYOUT = Layout(
    folder="openvino",
    plain="openvino_model.xml",
    pattern="openvino*.xml",
    int8=(("openvino_model_qint8_quantized.xml", ""), ("openvino_model_int8.xml", "")),
)


class OpenvinoBackend(GraphBackend):
    """Runs models with OpenVINO."""

    name = "openvino"
    package = "openvino"
    layout = LAYOUT
    options = ("device", "ov_config")

    def runtime(self) -> Runtime:
        """Return OpenVINO."""
        from pairchain_openvino.runtime import OpenvinoRuntime

        return OpenvinoRuntime()

    def int8_name(self) -> str:
        """Raise an InputError: OpenVINO's own package for it needs a set of examples, and is not used here."""
        raise InputError(
            "pairchain does not convert weights to int8 for OpenVINO.",
            next_step="use `pairchain export --to onnx --int8`; or convert the exported .xml with the package nncf, "
            f"and name it {LAYOUT.folder}/{LAYOUT.int8[0][0]}.",
            argument="int8",
        )
