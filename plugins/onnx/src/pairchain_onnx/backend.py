"""The backend ``onnx``; importing it imports neither torch nor ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairchain_graph.backend import GraphBackend
from pairchain_graph.files import Layout

if TYPE_CHECKING:
    from pairchain_graph.runtime import Runtime

LAYOUT = Layout(
    folder="onnx",
    plain="model.onnx",
    pattern="*.onnx",
    int8=(
        ("model_qint8_arm64.onnx", "arm64"),
        ("model_qint8_avx512_vnni.onnx", "avx512_vnni"),
        ("model_qint8_avx512.onnx", "avx512"),
        ("model_quint8_avx2.onnx", "avx2"),
        ("model_int8.onnx", ""),
        ("model_quantized.onnx", ""),
        ("model_uint8.onnx", ""),
    ),
)


class OnnxBackend(GraphBackend):
    """Runs models with ONNX Runtime."""

    name = "onnx"
    package = "onnxruntime"
    layout = LAYOUT
    options = ("provider", "provider_options", "session_options")

    def runtime(self) -> Runtime:
        """Return ONNX Runtime."""
        from pairchain_onnx.runtime import OnnxRuntime

        return OnnxRuntime()

    def write_int8(self, content: Any, path: Path) -> None:
        """Write the graph with int8 weights; ONNX Runtime quantises activations as it runs."""
        from pairchain_onnx.quantization import quantize

        quantize(content, path)
