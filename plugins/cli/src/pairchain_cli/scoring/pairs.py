"""The pairs on which commands compare two ways to score: those of a file, or built-in ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, product

from pairchain_cli.rows.reading import open_rows
from pairchain_cli.rows.rows import Layout

_COLUMNS = ("query", "document")
_MOST_PAIRS = 1000

_QUERIES = (
    "How many people live in Berlin?",
    "what is the capital of france",
    "how does a cancelled task clean up its resources",
    "symptoms of a vitamin D deficiency",
    "fastest way to sort a list of numbers",
    "Wer hat die Relativitätstheorie entwickelt?",
)
_DOCUMENTS = (
    "Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
    "Berlin is well known for its museums.",
    "Paris is the capital and the largest city of France, on the river Seine. " * 4,
    "When a task is cancelled, the event loop raises an exception inside it at the next await. The task should close "
    "its files and connections in a finally block, and then let the exception pass.",
    "Low levels of vitamin D can cause tiredness, bone pain, muscle weakness and, in children, rickets.",
    "The method sort of a list uses an algorithm that takes advantage of runs that are sorted already; it is stable, "
    "and needs n log n comparisons at worst.",
    "Albert Einstein veröffentlichte 1915 die allgemeine Relativitätstheorie.",
    "東京都の人口は約1400万人です。",
)


def built_in_pairs() -> list[tuple[str, str]]:
    """Return pairs of several queries with the same documents, related and unrelated, short and long."""
    return list(product(_QUERIES, _DOCUMENTS))


def read_pairs(file: str | None, columns: Sequence[str] = _COLUMNS) -> list[tuple[str, ...]]:
    """Return the first thousand pairs of ``file``, or the built-in pairs.

    Args:
        file: A .jsonl, .csv, .tsv, .parquet or .txt file; ``-`` for stdin; None for the built-in pairs.
        columns: The columns of query and document.

    Raises:
        PairchainError: The file cannot be read, or has no pairs.
    """
    if file is None:
        return [*built_in_pairs()]
    with open_rows(file, Layout(tuple(columns))) as rows:
        return [tuple(row.values[name] for name in columns) for row in islice(rows.rows, _MOST_PAIRS)]
