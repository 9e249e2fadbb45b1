"""The pairs that a run asks to score: the best documents of each query, with their texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from pairchain.errors import PairchainError
from pairchain.retrieval.lines import refused
from pairchain.retrieval.records import Result
from pairchain.retrieval.runs import Run, RunInMemory, Skipping, opened_run, stopping
from pairchain.retrieval.texts import DOCUMENT, QUERY, Hashes, Texts, TextsInMemory, hashes_of, opened_texts

# How many hashes are held before repetitions are removed.
_MANY = 2**20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document of a run, with the texts to score.

    Attributes:
        query_id: The query's id.
        document_id: The document's id.
        query: The query's text, or what else the model takes.
        document: The document's.
        line: The line of the run; 0 for a run in memory.
        fault: Why it cannot be scored; None if nothing is known to be wrong with it.
    """

    query_id: str
    document_id: str
    query: Any
    document: Any
    line: int
    fault: PairchainError | None = None


class Candidates:
    """The best documents of each query of a run, with their texts; iterate over them for a list for each query.

    At any time, the texts of one query are in memory, besides what files hold; see `runs.RunFile`, `texts.TextFile`.

    Args:
        run: The run.
        queries: The texts of the queries.
        documents: The texts of the documents.
        ids: The queries to take, in order.
        top_k: Most documents for each query; None for all.

    Attributes:
        name: The run's name in errors.
        total: The number of candidates.
    """

    def __init__(
        self, run: Run, queries: Texts, documents: Texts, ids: Sequence[str], top_k: int | None, total: int
    ) -> None:
        self._run, self._queries, self._documents = run, queries, documents
        self._ids, self._top_k = ids, top_k
        self.name, self.total = run.name, total

    def __iter__(self) -> Iterator[list[Candidate]]:
        for query_id in self._ids:
            query = self._queries.find(query_id)
            yield [self._candidate(result, query) for result in self._run.results(query_id)[: self._top_k]]

    def faults(self) -> Iterator[PairchainError]:
        """Yield why candidates cannot be scored, if texts are missing."""
        for some in self:
            for candidate in some:
                if candidate.fault is not None:
                    yield candidate.fault

    def _candidate(self, result: Result, query: Any) -> Candidate:
        document = self._documents.find(result.document_id)
        fault = None
        for noun, name, text, texts in (
            ("query", result.query_id, query, self._queries),
            ("document", result.document_id, document, self._documents),
        ):
            if text is None and fault is None:
                what = f"the {noun} {name!r} has no text in {texts.name}."
                fault = refused(self.name, result.line, what) if result.line else PairchainError(what)
        return Candidate(result.query_id, result.document_id, query, document, result.line, fault)


@contextmanager
def opened_candidates(
    run: str | RunInMemory | Mapping[Any, Mapping[Any, float]],
    queries: str | TextsInMemory | Mapping[Any, Any],
    documents: str | TextsInMemory | Mapping[Any, Any],
    *,
    top_k: int | None = None,
    only: Callable[[str], bool] | None = None,
    keeps_title: bool = True,
    skipping: Skipping = stopping,
) -> Iterator[Candidates]:
    """Yield the candidates of a run after one pass over each file.

    Args:
        run: A file, or scores by query and document.
        queries: A file, or texts by id.
        documents: A file, or texts by id; each may be a dict with title and text.
        top_k: Most documents for each query, the best of the run; None for all.
        only: Whether to take a query, by its id; None for all.
        keeps_title: Whether a document begins with its title, if it has one.
        skipping: Decides about a line of a file that cannot be used. If it raises, so does a text that is missing.

    Raises:
        PairchainError: A file cannot be read, or lacks a text.
    """
    with ExitStack() as stack:
        opened: Run
        if isinstance(run, str):
            opened = stack.enter_context(opened_run(run, skipping))
        else:
            opened = RunInMemory(run) if isinstance(run, Mapping) else run
        ids = [name for name in opened.queries if only is None or only(name)]
        wanted, total = _wanted(opened, ids, top_k)
        of_query = _texts(queries, QUERY, stack, hashes_of(ids), keeps_title=False, skipping=skipping)
        of_document = _texts(documents, DOCUMENT, stack, wanted, keeps_title=keeps_title, skipping=skipping)
        found = Candidates(opened, of_query, of_document, ids, top_k, total)
        if skipping is stopping and not (of_query.has_all(hashes_of(ids)) and of_document.has_all(wanted)):
            _refuse_missing(found)
        yield found


def _texts(
    given: str | TextsInMemory | Mapping[Any, Any], noun: str, stack: ExitStack, wanted: Hashes, **options: Any
) -> Texts:
    if isinstance(given, str):
        return stack.enter_context(opened_texts(given, noun, wanted, **options))
    return TextsInMemory(given, noun, keeps_title=options["keeps_title"]) if isinstance(given, Mapping) else given


def _wanted(run: Run, ids: Sequence[str], top_k: int | None) -> tuple[Hashes, int]:
    """Return the hashes of the documents that a run names, and the number of its candidates."""
    parts = [np.empty(0, np.int64)]
    held = total = 0
    for query_id in ids:
        names = [result.document_id for result in islice(run.results(query_id), top_k)]
        parts.append(hashes_of(names))
        total += len(names)
        held += len(names)
        if held > _MANY:
            parts = [np.unique(np.concatenate(parts))]
            held = 0
    return np.unique(np.concatenate(parts)), total


def _refuse_missing(candidates: Candidates) -> None:
    """Raise an error about the first candidate whose text is missing, if there is one."""
    faults = candidates.faults()
    if (first := next(faults, None)) is None:
        return
    # counted in full, because one missing text and a wrong collection need different remedies
    more = sum(1 for _ in faults)
    others = f" {more:,} more of the {candidates.total:,} results lack a text too." if more else ""
    raise PairchainError(
        f"{first.what}{others}",
        next_step="check that the files belong together, or leave such documents out: on_error='skip'.",
    )
