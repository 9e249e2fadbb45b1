"""A classifier that ships a graph for each runtime; the first worker of a test run that needs it exports it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tiny_models import GOLDEN, load

from pairchain_onnx.backend import OnnxBackend
from pairchain_openvino.backend import OpenvinoBackend

CLASSIFIER = GOLDEN / "bert_seqcls_1label" / "model"


@cache
def shipped_graphs(base: Path) -> Path:
    """Return the folder of the model, which no test may change.

    Args:
        base: pytest's folder for temporary files; workers of one run have folders beside each other.
    """
    home = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = home / "shipped-graphs"
    with (home / "shipped-graphs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=home) as aside:
                made = Path(shutil.copytree(CLASSIFIER, Path(aside) / "model"))
                for backend in (OnnxBackend(), OpenvinoBackend()):
                    backend.export(load(CLASSIFIER, backend=backend.name)[0].execution, made)
                made.rename(folder)
    return folder


def copy_with(runtime: str, base: Path, folder: Path) -> Path:
    """Return ``folder`` as a copy of the model with the graph of one runtime, which a test may change."""
    other = {"onnx": "openvino", "openvino": "onnx"}[runtime]
    return Path(shutil.copytree(shipped_graphs(base), folder, ignore=lambda _, names: {other} & set(names)))
