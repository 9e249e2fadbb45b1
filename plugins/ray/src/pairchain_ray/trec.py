"""Reads several runs as columns, and writes rows as a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pairchain.errors import PairchainError
from pairchain.runs import read_run, write_run


def read_columns(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the ids of the queries and of the documents, for each result of some runs.

    Raises:
        PairchainError: A line has another form, or a document is named twice for its query.
    """
    named = [(query, document) for path in paths for query, found in read_run(path).items() for document in found]
    if len(set(named)) < len(named):
        raise PairchainError("the runs name a document twice for one query.", next_step="give one run at a time.")
    return [query for query, _ in named], [document for _, document in named]


def write_rows(rows: Iterable[tuple[str, str, int, float | None]], path: str) -> None:
    """Write a run of queries, documents, ranks and scores, with the queries in the order of their ids.

    The ranks are counted again; a document without a score is left out.

    Raises:
        PairchainError: The file cannot be written.
    """
    run: dict[str, dict[str, float]] = {}
    for query, document, _, score in sorted(rows, key=lambda row: str(row[0])):
        if score is not None:
            run.setdefault(str(query), {})[str(document)] = score
    write_run(run, path)
