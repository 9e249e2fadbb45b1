"""Reads runs a query at a time: of a file, only the places of its queries are held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Protocol

from pairchain.errors import PairchainError
from pairchain.retrieval.lines import Line, lines_of, opened_at_random, refused
from pairchain.retrieval.order import as_float32
from pairchain.retrieval.records import Result, ResultReader


class Skipping(Protocol):
    """Decides about a line or a document that cannot be used: raises ``error``, or takes note of it and returns."""

    def __call__(self, error: PairchainError, /) -> None: ...


def stopping(error: PairchainError, /) -> None:
    """Raise ``error``; the default of what is done about a line that cannot be used."""
    raise error


class RunFile:
    """A run in a file, in the formats of `records.ResultReader`.

    Args:
        file: The file, which can be read at any place.
        name: Its name in errors.
        skipping: Decides about a line that cannot be used.

    Attributes:
        queries: The ids of the queries, in the order of their first lines.
    """

    def __init__(self, file: IO[bytes], name: str, skipping: Skipping = stopping) -> None:
        self._file = file
        self.name = name
        self._skipping = skipping
        self._reader = ResultReader(name)
        # for each query: offset, number of the first line, and end of every stretch of lines that name it
        self._stretches: dict[str, list[tuple[int, int, int]]] = {}
        # the queries whose repeated documents were told
        self._told: set[str] = set()
        self._index()

    @property
    def queries(self) -> Sequence[str]:
        return list(self._stretches)

    def results(self, query_id: str) -> list[Result]:
        """Return the documents of a query, best first; see `order.in_trec_order`.

        Raises:
            PairchainError: A line names a document a second time.
        """
        found: dict[str, Result] = {}
        repeated: list[PairchainError] = []
        for offset, number, end in self._stretches[query_id]:
            for result in self._read(offset, number, end):
                if (earlier := found.get(result.document_id)) is None:
                    found[result.document_id] = result
                    continue
                repeated.append(
                    refused(
                        self.name,
                        result.line,
                        f"the document {result.document_id!r} of {query_id!r} is on line {earlier.line} too.",
                        next_step="remove one of the lines.",
                    )
                )
        if repeated and query_id not in self._told:
            self._told.add(query_id)
            for error in repeated:
                self._skipping(error)
        return _best_first(found.values())

    def _index(self) -> None:
        current, start, first, end = None, 0, 0, 0
        for line in lines_of(self._file, self.name):
            try:
                result = self._reader.read(line)
            except PairchainError as error:
                self._skipping(error)
                continue
            if result is None:
                continue
            if result.query_id != current:
                if current is not None:
                    self._stretches.setdefault(current, []).append((start, first, end))
                current, start, first = result.query_id, line.offset, line.number
            end = line.number + 1
        if current is not None:
            self._stretches.setdefault(current, []).append((start, first, end))
        if not self._stretches:
            raise PairchainError(f"{self.name} has no results.", next_step="check the file name.")

    def _read(self, offset: int, number: int, end: int) -> Iterator[Result]:
        self._file.seek(offset)
        while number < end:
            data = self._file.readline().rstrip(b"\r\n")
            if data and not data.isspace():
                start = data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data
                try:
                    result = self._reader.read(Line(number, offset, start))
                except PairchainError:
                    # it was told when the file was indexed
                    result = None
                if result is not None:
                    yield result
            number += 1


class RunInMemory:
    """A run that the caller holds, with the attributes and methods of `RunFile`.

    Args:
        results: For each query, its documents and their scores.
        name: Its name in errors.
    """

    def __init__(self, results: Mapping[Any, Mapping[Any, float]], name: str = "the run") -> None:
        self._results = {str(query_id): scores for query_id, scores in results.items()}
        self.name = name

    @property
    def queries(self) -> Sequence[str]:
        return list(self._results)

    def results(self, query_id: str) -> list[Result]:
        """Return the documents of a query, best first; see `order.in_trec_order`."""
        scores = self._results[query_id]
        return _best_first(Result(query_id, str(name), float(score), 0) for name, score in scores.items())


Run = RunFile | RunInMemory


@contextmanager
def opened_run(path: str, skipping: Skipping = stopping) -> Iterator[RunFile]:
    """Yield the run in a file; one that is compressed, or a pipe, is copied to a temporary file first.

    Raises:
        PairchainError: The file cannot be read, a line has another form, or there are no lines.
    """
    with opened_at_random(path) as file:
        yield RunFile(file, path, skipping)


def _best_first(results: Iterable[Result]) -> list[Result]:
    return sorted(results, key=lambda one: (as_float32(one.score), one.document_id), reverse=True)
