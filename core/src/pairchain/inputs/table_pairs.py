"""Which columns of a table hold the pairs, and the pairs that its rows are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pairchain.errors import InputError
from pairchain.inputs.modality import shown
from pairchain.inputs.tables import DOCUMENT, QUERY, SIDES, Table, as_row

# Two columns of other names are taken in their order, unless a name says that they stand the other way round.
_NAMES_OF_QUERIES = frozenset({"query", "queries", "question", "questions"})
_NAMES_OF_DOCUMENTS = frozenset({"document", "documents", "doc", "docs", "passage", "passages"})

# Rows that are read at once.
_PART = 4096
_MOST_NAMED = 20


@dataclass(frozen=True)
class Choice:
    """The columns that hold the two sides.

    Attributes:
        called: What errors call the table.
        names: The names of the two columns.
        positions: Where the columns are.
        by_name: Whether their names say which is which; otherwise both have to hold texts.
    """

    called: str
    names: tuple[Any, Any]
    positions: tuple[int, int]
    by_name: bool

    def pair(self, sides: tuple[Any, Any], row: int) -> tuple[Any, Any]:
        """Return both sides of a row as a pair.

        Raises:
            InputError: A side is missing, or is not a text although nothing but that tells what the columns are.
        """
        for element, (name, side) in enumerate(zip(self.names, sides, strict=True)):
            if is_missing(side):
                raise InputError(
                    f"is missing: the column {name!r} of {self.called} holds {side!r} there.",
                    next_step="leave such rows out, or fill them.",
                    index=row,
                    element=element,
                )
            if not self.by_name and not isinstance(side, str):
                raise InputError(
                    f"is {shown(side)}: the column {name!r} of {self.called} does not hold texts.",
                    next_step=f"name the columns to score {QUERY} and {DOCUMENT}.",
                    index=row,
                    element=element,
                )
        return sides


def choose(called: str, names: Sequence[Any]) -> Choice:
    """Return which columns to score: those named query and document, else the only two.

    Capitals and spaces around a name do not count.

    Raises:
        InputError: It cannot be told; the message names the columns.
    """
    named = [_place(names, name) for name in SIDES]
    if named[0] is not None and named[1] is not None:
        return Choice(called, (names[named[0]], names[named[1]]), (named[0], named[1]), by_name=True)
    if len(names) != 2 or any(len(_places(names, name)) > 1 for name in SIDES):
        raise InputError(
            f"{called} has {_columns(names)}; which of them to score cannot be told.",
            next_step=f"name two of them {QUERY!r} and {DOCUMENT!r}, or pass pairs, such as "
            f"zip({_example(names, 0)}, {_example(names, 1)}).",
        )
    first, second = (_plain(name) for name in names)
    if first in _NAMES_OF_DOCUMENTS or second in _NAMES_OF_QUERIES:
        raise InputError(
            f"{called} has {_columns(names)}, in this order; which holds the queries is unclear.",
            next_step=f"name them {QUERY!r} and {DOCUMENT!r}, or put the queries first.",
        )
    return Choice(called, (names[0], names[1]), (0, 1), by_name=False)


def pairs_of_table(table: Table) -> Iterator[tuple[Any, Any]]:
    """Return an iterator over the rows of a table as pairs.

    Raises:
        InputError: Which columns to score cannot be told. A row raises it too, when it is reached.
    """
    if not table.names and not table.length:
        return iter(())
    choice = choose(table.called, table.names)

    def pairs() -> Iterator[tuple[Any, Any]]:
        for start in range(0, table.length, _PART):
            part = slice(start, min(start + _PART, table.length))
            sides = zip(*(table.read(position, part) for position in choice.positions), strict=True)
            for row, (query, document) in enumerate(sides, start):
                yield choice.pair((query, document), row)

    return pairs()


def pairs_of_rows(rows: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield rows that name their columns, such as dicts, as pairs; the first row says which columns are scored.

    Raises:
        InputError: It cannot be told which, or a row lacks one.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    names = list(as_row(first) or ())
    choice = choose("the first row", names)
    for index, item in enumerate(chain([first], rows)):
        row = as_row(item)
        if row is None:
            raise InputError(
                f"is {shown(item)}, and the rows before it name columns.",
                next_step="pass rows of one kind.",
                index=index,
            )
        yield choice.pair(_sides(row, choice, index), index)


def pair_of_row(row: Mapping[str, Any], index: int | None = None) -> tuple[Any, Any] | None:
    """Return the pair in a row that has a query and a document, or None if it has not.

    Raises:
        InputError: One of them is missing.
    """
    names = list(row)
    if any(_place(names, name) is None for name in SIDES):
        return None
    choice = choose("the row", names)
    return choice.pair(_sides(row, choice, index), 0 if index is None else index)


def only_column(table: Table, name: str) -> list[Any]:
    """Return the values of a table's only column.

    Args:
        table: The table.
        name: How errors call it.

    Raises:
        InputError: It has several.
    """
    if not table.names and not table.length:
        return []
    if len(table.names) != 1:
        place = _place(table.names, DOCUMENT)
        raise InputError(
            f"{name} is {table.called} with {_columns(table.names)}.",
            next_step=f"pass one of its columns, such as {_example(table.names, place or 0)}.",
        )
    return table.read(0, slice(0, table.length))


def is_missing(value: Any) -> bool:
    """Return whether ``value`` is what a table holds where there is nothing: None, NaN, pandas' NA or NaT."""
    return (
        value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
    )


def _sides(row: Mapping[str, Any], choice: Choice, index: int | None) -> tuple[Any, Any]:
    for name in choice.names:
        if name not in row:
            raise InputError(
                f"has {_columns(list(row))}, and no {name!r}.",
                next_step="give every row the same columns.",
                index=index,
            )
    query, document = choice.names
    return row[query], row[document]


def _place(names: Sequence[Any], wanted: str) -> int | None:
    """Return where the column of a name is, or None if there is none, or if several could be meant."""
    exact = [place for place, name in enumerate(names) if isinstance(name, str) and name == wanted]
    found = exact or _places(names, wanted)
    return found[0] if len(found) == 1 else None


def _places(names: Sequence[Any], wanted: str) -> list[int]:
    return [place for place, name in enumerate(names) if _plain(name) == wanted]


def _plain(name: Any) -> str:
    return name.strip().casefold() if isinstance(name, str) else ""


def _columns(names: Sequence[Any]) -> str:
    if not names:
        return "no columns"
    listed = ", ".join(_short(name) for name in names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    return f"the column{'' if len(names) == 1 else 's'} {listed}"


def _example(names: Sequence[Any], place: int) -> str:
    return f"table[{_short(names[place])}]" if place < len(names) else "documents"


def _short(name: Any) -> str:
    text = repr(name)
    return text if len(text) <= 40 else text[:37] + "..."
