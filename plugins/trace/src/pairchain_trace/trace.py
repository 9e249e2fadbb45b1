"""Traces a call of ``predict``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pairchain.authoring import tensors_inside, write_aside, write_json
from pairchain.errors import InputError
from pairchain_trace.chrome_trace import to_chrome
from pairchain_trace.recording import recording
from pairchain_trace.summary import TraceData
from pairchain_trace.trace_text import to_html, to_text


class Trace(TraceData):
    """The record of a call of ``predict``, step by step. It keeps no features and no inputs.

    It prints as text and draws itself in a notebook. `save` writes it for Perfetto.
    """

    def to_chrome(self) -> dict[str, Any]:
        """Return the trace as JSON for Perfetto and ``chrome://tracing``."""
        return to_chrome(self)

    def save(self, path: str | Path) -> None:
        """Write the trace to a JSON file, for https://ui.perfetto.dev or ``chrome://tracing``."""
        with write_aside(Path(path)) as aside:
            write_json(aside, self.to_chrome(), indent=1)

    def __str__(self) -> str:
        return to_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return to_html(self)


def trace(model: Any, inputs: Any, options: Mapping[str, Any]) -> Trace:
    """Return a trace of ``model.predict(inputs, **options)``.

    Raises:
        InputError: ``options`` ask for worker processes, which cannot be traced.
    """
    device = options.get("device")
    if options.get("pool") is not None or isinstance(device, list | tuple):
        raise InputError("worker processes cannot be traced.", next_step="trace without pool, and with one device.")
    devices = {tensor.device for tensor in tensors_inside(model)}
    if device is not None:
        devices.add(torch.device(device))
    with recording("predict", devices) as root:
        scores = model.predict(inputs, **{"show_progress_bar": False, **options})
    source = getattr(model, "source", None)
    name = type(model).__name__ if source is None else f"{type(model).__name__} of {source.name}"
    return Trace(scores, root, name, str(model.device))
