"""Reads and writes runs in TREC's format: query, Q0, document, rank, score and tag on each line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from pairchain.errors import PairchainError

QUERY_ID, DOCUMENT_ID = "query_id", "document_id"
_TAG = "pairchain"


def is_run(path: str) -> bool:
    """Return whether a file is a run, by its name."""
    return os.path.splitext(path)[1].lower() in (".trec", ".run")


def read_run(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the ids of the queries and of the documents, for each line of some runs.

    Raises:
        PairchainError: A line has other than six fields, or names a document twice for its query.
    """
    queries: list[str] = []
    documents: list[str] = []
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                fields = line.split()
                if len(fields) != 6:
                    raise PairchainError(f"{path}, line {number}: found {len(fields)} fields, expected 6.")
                queries.append(fields[0])
                documents.append(fields[2])
    if len(set(zip(queries, documents, strict=True))) < len(queries):
        raise PairchainError("the run names a document twice for one query.", next_step="give one run at a time.")
    return queries, documents


def run_lines(rows: Iterable[tuple[str, str, int, float]]) -> Iterator[str]:
    """Yield lines of a run from queries, documents, ranks and scores."""
    for query, document, rank, score in rows:
        yield f"{query} Q0 {document} {rank} {score!r} {_TAG}\n"
