"""How the tables of the benchmarks name things, and write numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Found = Mapping[str, Any]

# In the words of the tables; every side but the first two is a backend of pairchain.
TITLES = {
    "st": "sentence-transformers, default",
    "st-best": "sentence-transformers, best batch",
    "library": "transformers",
    "packed": "packed",
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "packed-int8": "packed, int8",
    "onnx-int8": "ONNX Runtime, int8",
}

MODELS = {
    "minilm": "MiniLM",
    "minilm-trained": "MiniLM",
    "bert-base": "BERT-base",
    "modernbert-base": "ModernBERT-base",
    "qwen3-28-layers": "Qwen3, 28 layers",
    "qwen3-4-layers": "Qwen3, 4 layers",
}


def named(case: Found) -> str:
    """Return what a reader calls a case."""
    dtype = "" if case["dtype"] == "float32" else f", {case['dtype']}"
    busy = ", busy machine" if case["protocol"] == "busy" else ""
    return f"{MODELS.get(case['model'], case['model'])}{dtype}, {case['called']}{busy}{star(case)}"


def star(row: Found) -> str:
    """Return the mark of a figure that other processes disturbed, with a space before it."""
    return " \\*" if row["is_busy"] else ""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def times(ratio: float) -> str:
    """Return a ratio."""
    return f"{ratio:.2f}×"


def seconds(seconds: float) -> str:
    """Return a time."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.2 else f"{seconds:.2f} s"


def mib(size: float) -> str:
    """Return a size in mebibytes."""
    return f"{size / 2**20:,.0f} MiB"
