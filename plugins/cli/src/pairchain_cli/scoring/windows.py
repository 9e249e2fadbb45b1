"""Reads rows a window at a time: a window is enough rows to sort by length, and at most seconds of work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from pairchain_cli.rows.rows import Row, Rows

MOST_ROWS = 4096
_FIRST_ROWS = 32
_SECONDS = 10.0
# limits the memory of a window of long texts
_MOST_LETTERS = 2**24


def windows(rows: Rows, most: int = MOST_ROWS, *, group: Callable[[Row], object] | None = None) -> Iterator[list[Row]]:
    """Yield lists of at most ``most`` rows, each sized to take `_SECONDS` at the previous one's rate.

    A window does not wait for rows that another program has yet to write.

    Args:
        rows: The rows.
        most: Most rows of a window.
        group: Returns what rows that belong together have in common: a window ends with the last row of a group, even
            if it becomes larger. None if no rows belong together.
    """
    size = min(_FIRST_ROWS, most)
    rows.rows = ahead = _Ahead(rows.rows)
    while window := _take(rows, size):
        if group is not None:
            window += ahead.rest_of(group(window[-1]), group)
        began = time.monotonic()
        yield window
        seconds = max(time.monotonic() - began, 1e-3)
        fitting = int(len(window) * _SECONDS / seconds)
        size = max(1, min(most, 4 * size, max(fitting, min(size, _FIRST_ROWS))))


def _take(rows: Rows, size: int) -> list[Row]:
    window: list[Row] = []
    letters = 0
    while len(window) < size and letters < _MOST_LETTERS and not (window and not rows.is_ready()):
        if (row := next(rows.rows, None)) is None:
            break
        window.append(row)
        letters += sum(len(value) for value in row.values.values() if isinstance(value, str | bytes))
    return window


class _Ahead(Iterator[Row]):
    """Rows that show the next one without taking it."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._next: Row | None = None

    def __next__(self) -> Row:
        if (row := self._next) is not None:
            self._next = None
            return row
        return next(self._rows)

    def rest_of(self, common: object, group: Callable[[Row], object]) -> Iterator[Row]:
        """Yield the next rows that have this in common."""
        for row in self:
            if group(row) != common:
                self._next = row
                return
            yield row
