"""Converts the weights of a graph to int8, as published files with ``qint8`` in their name have them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pairchain.errors import MissingPackageError
from pairchain_graph.content import Content
from pairchain_graph.exporting import write_files


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep back the advice on images that the quantiser writes to the root logger."""

    def is_other(record: logging.LogRecord) -> bool:
        return "pre-processing before quantization" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)


def quantize(content: Content, path: Path) -> None:
    """Write the graph of ``content`` with int8 weights to ``path``.

    Each column of a weight has its own scale; activations are quantised as the graph runs, with one scale for a batch.

    Raises:
        MissingPackageError: The package onnx is not installed.
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingPackageError(
            "converting weights to int8 needs the package onnx, which is not installed.",
            next_step="pip install 'pairchain-onnx[export]'.",
        ) from error
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        plain = Path(folder) / "model.onnx"
        write_files(content, plain)
        kind = QuantType.QUInt8 if "quint8" in path.name else QuantType.QInt8
        # only products of matrices: a table of embeddings saves no time, and loses accuracy
        quantize_dynamic(
            plain,
            path,
            op_types_to_quantize=["MatMul", "Attention"],
            per_channel=True,
            # without VNNI, sums of products overflow unless weights leave out a bit
            reduce_range="vnni" not in path.name and "arm64" not in path.name,
            weight_type=kind,
        )
