"""Scores the candidates of a run, some whole queries at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pairchain.errors import PairchainError
from pairchain.runs import Candidates
from pairchain_cli.authoring import (
    ERROR,
    Progress,
    Row,
    Rows,
    RowScorer,
    Score,
    ScoringOptions,
    open_scorer,
    windows,
)
from pairchain_search.options import LeftOut

QUERY_ID, DOCUMENT_ID = "query_id", "document_id"


def rows_of(candidates: Candidates, left_out: LeftOut) -> Rows:
    """Return the candidates of a run as rows, a query's one after another."""
    count = 0

    def rows() -> Iterator[Row]:
        nonlocal count
        for of_query in candidates:
            for one in of_query:
                if one.fault is not None and not left_out.skips:
                    raise one.fault
                count += 1
                values = {
                    QUERY_ID: one.query_id,
                    DOCUMENT_ID: one.document_id,
                    "query": one.query,
                    "document": one.document,
                }
                yield Row(values, candidates.name, one.line, fault=one.fault)

    return Rows(candidates.name, rows(), size=candidates.total, position=lambda: count)


Window = tuple[Sequence[Row], list[Score]]


@contextmanager
def opened_scoring(
    options: ScoringOptions,
    rows: Rows,
    left_out: LeftOut,
    begin: Callable[[Callable[[], str]], None] = lambda identify: None,
) -> Iterator[Iterator[Window]]:
    """Load the model, and yield the windows of scored rows; each has whole queries. A score of None is left out.

    Args:
        options: The model and how it scores.
        rows: The rows of `rows_of`.
        left_out: Decides about what cannot be scored, and takes note of it.
        begin: Called with the function that identifies the model, after it is loaded and before rows are read.

    Raises:
        PairchainError: The model cannot be loaded, gives several scores, or cannot score a row.
    """
    with open_scorer(options) as model, Progress("scoring", rows) as progress:
        refuse_several(model.model.declared_num_labels())
        begin(model.identity)
        progress.restart()
        scorer = RowScorer(model, lambda row: (row.values["query"], row.values["document"]), skips=left_out.skips)

        def scored() -> Iterator[Window]:
            for window in windows(rows, group=lambda row: row.values[QUERY_ID]):
                some, scores = scorer.score(window)
                for row, score in zip(some, scores, strict=True):
                    if isinstance(score, list):
                        refuse_several(len(score))
                    if score is None:
                        left_out.add(row.added.get(ERROR) or f"{row.place}: its score is NaN or infinite.")
                yield some, scores
                progress.add(len(some))

        yield scored()


def by_query(rows: Sequence[Row], scores: Sequence[Score]) -> dict[str, list[tuple[str, float]]]:
    """Return for each query the documents that have a score, with their scores."""
    found: dict[str, list[tuple[str, float]]] = {}
    for row, score in zip(rows, scores, strict=True):
        if isinstance(score, float):
            found.setdefault(row.values[QUERY_ID], []).append((row.values[DOCUMENT_ID], score))
    return found


def refuse_several(labels: int | None) -> None:
    """Raise a PairchainError if a model has several ``labels``; None is not known."""
    if labels not in (None, 1):
        raise PairchainError(
            f"a run needs one score for each document, and this model gives {labels}.",
            next_step="choose a model with one label.",
        )
