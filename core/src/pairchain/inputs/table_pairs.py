"""Chooses the columns of a table that hold the pairs, and reads its rows as pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pairchain.errors import InputError
from pairchain.inputs.modality import description_of
from pairchain.inputs.tables import DOCUMENT, QUERY, SIDES, Table, as_row
from pairchain.text.escaping import short_repr

# Two columns with other names are query and document in this order, unless one of these names contradicts it.
# The column of documents in tables of search that name none document.
_TEXT = "text"
_NAMES_OF_QUERIES = frozenset({"query", "queries", "question", "questions"})
_NAMES_OF_DOCUMENTS = frozenset({"document", "documents", "doc", "docs", "passage", "passages"})

# Rows that are read at once.
_ROWS = 4096
_MOST_NAMED = 20


@dataclass(frozen=True)
class Choice:
    """The names and positions of the columns that hold the two sides, in the table called ``title`` in errors.

    If ``by_name``, their names tell the sides apart; otherwise both columns must hold texts.
    """

    title: str
    names: tuple[Any, Any]
    positions: tuple[int, int]
    by_name: bool

    def pair(self, sides: tuple[Any, Any], row: int) -> tuple[Any, Any]:
        """Return both sides of a row as a pair; refuse a side that is missing, or that must be a text but is not."""
        for element, (name, side) in enumerate(zip(self.names, sides, strict=True)):
            column = f"the column {name!r} of {self.title}"
            if is_missing(side):
                what, step = f"is missing: {column} holds {side!r} there.", "leave such rows out, or fill them."
            elif not self.by_name and not isinstance(side, str):
                what = f"is {description_of(side)}: {column} does not hold texts."
                step = f"name the columns to score {QUERY} and {DOCUMENT}."
            else:
                continue
            raise InputError(what, next_step=step, index=row, element=element)
        return sides

    def pair_in(self, row: Mapping[str, Any], index: int | None) -> tuple[Any, Any]:
        """Return the pair in a row that names its columns; see `pair`."""
        for name in self.names:
            if name not in row:
                raise InputError(
                    f"has {columns_in(list(row))}, and no {name!r}.",
                    next_step="give every row the same columns.",
                    index=index,
                )
        query, document = self.names
        return self.pair((row[query], row[document]), index or 0)


def choose_columns(title: str, names: Sequence[Any]) -> Choice:
    """Return the columns to score: those named query and document in any case, else the only two."""
    query, document = (_places(names, name) for name in SIDES)
    if len(query) == len(document) == 1:
        return Choice(title, (names[query[0]], names[document[0]]), (query[0], document[0]), by_name=True)
    if len(names) != 2 or len(query) > 1 or len(document) > 1:
        one = next(iter(query), 0)
        others = (place for place in range(len(names)) if place != one)
        other = next(iter(document or _places(names, _TEXT) or others), 1)
        raise InputError(
            f"{title} has {columns_in(names)}; which of them to score is unclear.",
            next_step=f"name two of them {QUERY!r} and {DOCUMENT!r}, or pass pairs, such as "
            f"zip({_example(names, one)}, {_example(names, other)}).",
        )
    first, second = (_plain(name) for name in names)
    if first in _NAMES_OF_DOCUMENTS or second in _NAMES_OF_QUERIES:
        raise InputError(
            f"{title} has {columns_in(names)}, in this order; which holds the queries is unclear.",
            next_step=f"name them {QUERY!r} and {DOCUMENT!r}, or put the queries first.",
        )
    return Choice(title, (names[0], names[1]), (0, 1), by_name=False)


def pairs_of_table(table: Table) -> Iterator[tuple[Any, Any]]:
    """Return an iterator over the rows of a table as pairs; refuse a table whose columns to score are unclear."""
    if not table.names and not table.length:
        return iter(())
    choice = choose_columns(table.title, table.names)

    def pairs() -> Iterator[tuple[Any, Any]]:
        for start in range(0, table.length, _ROWS):
            rows = slice(start, min(start + _ROWS, table.length))
            sides = zip(*(table.read(position, rows) for position in choice.positions), strict=True)
            for row, (query, document) in enumerate(sides, start):
                yield choice.pair((query, document), row)

    return pairs()


def pairs_of_rows(rows: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield rows that name their columns as pairs; the names in the first row decide which columns are scored."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    choice = choose_columns("the first row", list(as_row(first) or ()))
    for index, item in enumerate(chain([first], rows)):
        if (row := as_row(item)) is None:
            raise InputError(
                f"is {description_of(item)}, and the rows before it name columns.",
                next_step="pass rows of one kind.",
                index=index,
            )
        yield choice.pair_in(row, index)


def pair_of_row(row: Mapping[str, Any], index: int | None = None) -> tuple[Any, Any] | None:
    """Return the pair in a row with a query and a document, or None if the row has no such columns."""
    names = list(row)
    if any(len(_places(names, name)) != 1 for name in SIDES):
        return None
    return choose_columns("the row", names).pair_in(row, index)


def column_of(table: Table, name: str) -> list[Any]:
    """Return the values of a table's only column or, if it lists documents, of its column document or text.

    Args:
        table: The table.
        name: Its name in errors: ``"documents"`` if it lists documents.

    Raises:
        InputError: Which column to take is unclear, as in a table that has queries too.
    """
    if not table.names and not table.length:
        return []
    if len(table.names) == 1:
        return table.read(0, slice(0, table.length))
    document = _places(table.names, DOCUMENT) or _places(table.names, _TEXT)
    if name == "documents" and len(document) == 1 and not _places(table.names, QUERY):
        return table.read(document[0], slice(0, table.length))
    raise InputError(
        f"{name} is {table.title} with {columns_in(table.names)}.",
        next_step=f"pass one of its columns, such as {_example(table.names, next(iter(document), 0))}; "
        "for the documents of many queries, use pairchain.rerank_run.",
    )


def is_missing(value: Any) -> bool:
    """Return whether ``value`` is a table's mark for a missing value: None, NaN, pandas' NA or NaT."""
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _places(names: Sequence[Any], wanted: str) -> list[int]:
    """Return the places of the columns named ``wanted`` or, if there is none, of those named so in another case."""
    exact = [place for place, name in enumerate(names) if isinstance(name, str) and name == wanted]
    return exact or [place for place, name in enumerate(names) if _plain(name) == wanted]


def _plain(name: Any) -> str:
    return name.strip().casefold() if isinstance(name, str) else ""


def columns_in(names: Sequence[Any]) -> str:
    if not names:
        return "no columns"
    listed = ", ".join(short_repr(name, 40) for name in names[:_MOST_NAMED])
    return f"the column{'' if len(names) == 1 else 's'} {listed}{', …' if len(names) > _MOST_NAMED else ''}"


def _example(names: Sequence[Any], place: int) -> str:
    return f"table[{short_repr(names[place], 40)}]" if place < len(names) else "documents"
