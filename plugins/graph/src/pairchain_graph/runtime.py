"""What a runtime's plugin implements: checking files, opening graphs and exporting modules; and what they share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

from pairchain import Source
from pairchain_graph.content import Content
from pairchain_graph.tracing import Traced

Session = TypeVar("Session")

# A graph that is larger is opened once, with all threads, and its batches take turns.
_LARGE = 1 << 30


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
    # whether attention is finite for a token that sees none, such as padding outside a window
    takes_hidden_rows: bool = True

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


class Sessions(Generic[Session]):
    """Opens a graph for each number of threads.

    Batches that run at once share the session with one thread each; a batch on its own uses the one with all threads.
    Each session holds the weights, so a large graph has one only.

    Args:
        content: The graph's files.
        open_graph: Opens the files for a number of threads.
        has_own_threads: Whether the runtime decides about threads; then all batches share one session.
    """

    def __init__(
        self, content: Content, open_graph: Callable[[Content, int], Session], *, has_own_threads: bool
    ) -> None:
        self._content = content.forgotten()
        self._open = open_graph
        self._has_own_threads = has_own_threads
        self._is_large = content.size > _LARGE or not content.places
        self._opening, self._turn = threading.Lock(), threading.Lock()
        threads = torch.get_num_threads()
        self.first = open_graph(content, threads)
        self._by_threads = {threads: self.first}

    def __contains__(self, threads: int) -> bool:
        return threads in self._by_threads

    @contextmanager
    def current(self) -> Iterator[Session]:
        """Lend the session that has as many threads as PyTorch would use in this thread."""
        if self._has_own_threads:
            yield self.first
        elif self._is_large:
            with self._turn:
                yield self.first
        else:
            yield self._with(torch.get_num_threads())

    def _with(self, threads: int) -> Session:
        if (found := self._by_threads.get(threads)) is not None:
            return found
        with self._opening:
            if threads not in self._by_threads:
                self._by_threads[threads] = self._open(self._content.again(), threads)
        return self._by_threads[threads]
