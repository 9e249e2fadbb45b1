"""Writes the results of `pairchain evaluate`: tables for people, and JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pairchain_search.comparing import Comparison, Test
from pairchain_search.measures import System

# Queries that gained most, and that lost most, in the report.
_SHOWN = 3
_MOST_LETTERS = 60


def as_json(systems: Sequence[System], comparisons: Sequence[Comparison], test: Test) -> dict[str, Any]:
    """Return all results as an object of JSON."""
    measures = list(systems[0].means)
    queries = list(systems[0].values[measures[0]])
    return {
        "queries": len(queries),
        "systems": [{"name": one.name, "measures": dict(one.means)} for one in systems],
        "test": str(test),
        "comparisons": [
            {
                "measure": one.measure,
                "baseline": one.baseline,
                "system": one.system,
                "difference": one.difference,
                "p": one.p,
                "better": one.better,
                "worse": one.worse,
                "equal": one.equal,
            }
            for one in comparisons
        ],
        "by_query": {
            query: {one.name: {measure: one.values[measure].get(query) for measure in measures} for one in systems}
            for query in queries
        },
    }


def table_of_systems(systems: Sequence[System]) -> Iterator[str]:
    """Yield the lines of a table with the measures of each system."""
    measures = list(systems[0].means)
    rows = [[one.name, *(f"{one.means[measure]:.4f}" for measure in measures)] for one in systems]
    yield from _aligned([["system", *measures], *rows])


def table_of_differences(comparisons: Sequence[Comparison], test: Test) -> Iterator[str]:
    """Yield the lines of a table with the differences of two systems, a line for each measure."""
    first = comparisons[0]
    queries = len(first.by_query)
    yield f"{first.system} minus {first.baseline}, {queries} queries, paired two-sided {_in_words(test)}"
    rows = [
        [
            one.measure,
            f"{one.difference:+.4f}",
            "-" if one.p is None else "<0.0001" if one.p < 0.0001 else f"{one.p:.4f}",
            *map(str, (one.better, one.worse, one.equal)),
        ]
        for one in comparisons
    ]
    yield from _aligned([["measure", "difference", "p", "better", "worse", "equal"], *rows])


def extremes(comparison: Comparison, texts: Mapping[str, str]) -> Iterator[str]:
    """Yield lines with the queries whose measure rose and fell most."""
    by_value = sorted(comparison.by_query.items(), key=lambda one: (-one[1], one[0]))
    for title, some in (
        ("gained most", [one for one in by_value if one[1] > 0][:_SHOWN]),
        ("lost most", [one for one in reversed(by_value) if one[1] < 0][:_SHOWN]),
    ):
        if some:
            yield f"{title} in {comparison.measure}"
            for query, value in some:
                text = " ".join(texts.get(query, "").split())
                shown = text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
                yield f"  {value:+.4f}  {query}  {shown}".rstrip()


def _in_words(test: Test) -> str:
    return {Test.T: "t-test", Test.RANDOMIZATION: "randomization test"}[test]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines, with the first column to the left and the others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join([row[0].ljust(widths[0]), *others]).rstrip()
