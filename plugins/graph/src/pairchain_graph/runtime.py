"""What a runtime's plugin implements: checking files, opening graphs and exporting modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pairchain import Source
from pairchain_graph.content import Content
from pairchain_graph.tracing import Traced


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: Its name.
        dtype: The type of its elements.
    """

    name: str
    dtype: np.dtype[Any]


class Graph(Protocol):
    """A graph that can be run; several threads do so at once."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    # whether activations are quantised, so that a row depends a little on the rest of its batch
    is_quantized: bool

    def run(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        """Return ``output``; it uses as many threads as PyTorch would in the calling thread."""


class Runtime(Protocol):
    """A runtime, and the safety of its files."""

    # versions that decide what an export looks like
    versions: Mapping[str, str]

    def content(self, source: Source, path: str) -> Content:
        """Return the files of the graph at ``path``, checked: nothing outside the model, no operators of others.

        Raises:
            FormatError: A file is damaged, or names what may not be loaded.
        """

    def open(self, content: Content, settings: Mapping[str, Any]) -> Graph:
        """Return the graph, ready to run.

        Args:
            content: Its files.
            settings: The caller's settings for the runtime.

        Raises:
            InputError: A setting is invalid.
            FormatError: The runtime cannot read the graph.
        """

    def export(self, traced: Traced, path: Path) -> None:
        """Write ``traced`` to the file at ``path``, and its weights beside it if they are too large for it.

        Raises:
            MissingPackageError: A package for exporting is not installed.
        """
