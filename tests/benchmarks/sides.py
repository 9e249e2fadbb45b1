"""What is compared: sentence-transformers, and pairchain with each backend, all called in the same way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from texts import Pair

# What sentence-transformers takes unless told otherwise, and what else a user would try.
DEFAULT_SIZE = 32
BATCH_SIZES = (1, 4, 8, 16, DEFAULT_SIZE)

ST = "st"
ST_BEST = "st-best"
LIBRARY, PACKED, ONNX, OPENVINO = "library", "packed", "onnx", "openvino"
PACKED_INT8, ONNX_INT8 = "packed-int8", "onnx-int8"


@dataclass(frozen=True)
class Side:
    """One of those that are compared.

    Attributes:
        title: What a reader calls it.
        backend: The name of pairchain's backend; empty for sentence-transformers.
        model_kwargs: What its load is given besides the dtype.
        export: The options of ``pairchain export`` that make its file, if the model has none.
    """

    title: str
    backend: str = ""
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    export: Sequence[str] = ()


SIDES: dict[str, Side] = {
    ST: Side("sentence-transformers, default batch of 32"),
    ST_BEST: Side("sentence-transformers, best batch"),
    LIBRARY: Side("pairchain, transformers", "transformers"),
    PACKED: Side("pairchain, packed", "packed"),
    ONNX: Side("pairchain, ONNX Runtime", "onnx"),
    OPENVINO: Side("pairchain, OpenVINO", "openvino"),
    PACKED_INT8: Side("pairchain, packed int8", "packed", {"int8": True}),
    ONNX_INT8: Side("pairchain, ONNX Runtime int8", "onnx", {"file_name": "int8"}, ("--to", "onnx", "--int8")),
}


class MissingError(Exception):
    """A side cannot score here: its backend is not installed, or does not take the model."""


@dataclass(frozen=True)
class Loaded:
    """A side with a model.

    Attributes:
        model: Its CrossEncoder.
        is_ours: Whether it is pairchain's.
    """

    model: Any
    is_ours: bool

    def scores(self, pairs: Sequence[Pair], *, threads: int | None = None, **options: Any) -> np.ndarray[Any, Any]:
        """Return the scores before the activation, of shape (pairs,): an activation would bring them closer together.

        Args:
            pairs: The pairs.
            threads: How many cores compute; None for all.
            **options: Further arguments of ``predict``.
        """
        options |= {"activation_fn": torch.nn.Identity(), "show_progress_bar": False}
        if self.is_ours or threads is None:
            found = self.model.predict(list(pairs), **options, **({"threads": threads} if self.is_ours else {}))
        else:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                found = self.model.predict(list(pairs), **options)
            finally:
                torch.set_num_threads(before)
        return np.asarray(found, dtype=np.float64).reshape(-1)


def load(name: str, folder: Path, device: str, dtype: str) -> Loaded:
    """Return the side ``name`` with the model in ``folder``.

    Raises:
        MissingError: It cannot score it here; the message says why.
    """
    side = SIDES[name]
    if not side.backend:
        # a process that measures memory or start-up has only one of the libraries
        from sentence_transformers import CrossEncoder as Theirs

        return Loaded(Theirs(str(folder), device=device, model_kwargs={"dtype": getattr(torch, dtype)}), False)
    from pairchain import CrossEncoder, PairchainError, registry

    if side.backend not in registry.backends.names():
        raise MissingError(f"the backend {side.backend!r} is not installed")
    # a runtime computes in the dtype of its file
    kwargs = dict(side.model_kwargs) if side.backend in (ONNX, OPENVINO) else {"dtype": dtype, **side.model_kwargs}
    try:
        if side.export and not list((folder / side.backend).glob("*qint8*")):
            _export(folder, side.export)
        model = CrossEncoder(str(folder), device=device, backend=side.backend, model_kwargs=kwargs)
        model.predict([("a query", "a document")], show_progress_bar=False)
    except (PairchainError, ImportError) as error:
        raise MissingError(" ".join(str(error).split())) from error
    return Loaded(model, True)


def _export(folder: Path, options: Sequence[str]) -> None:
    # a drift that is too large is what the benchmark shows, not a reason to leave it out
    command = [sys.executable, "-m", "pairchain_cli", "export", str(folder), *options, "--force"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"the export failed: {' '.join(done.stderr.split())[-200:]}")
