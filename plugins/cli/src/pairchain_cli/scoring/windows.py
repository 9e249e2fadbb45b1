"""Reads rows a window at a time: a window is enough rows to sort by length, and at most seconds of work."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pairchain_cli.rows.rows import Row, Rows

MOST_ROWS = 4096
_FIRST_ROWS = 32
_SECONDS = 10.0
# limits the memory of a window of long texts
_MOST_LETTERS = 2**24


def windows(rows: Rows, most: int = MOST_ROWS) -> Iterator[list[Row]]:
    """Yield lists of at most ``most`` rows, each sized to take `_SECONDS` at the previous one's rate.

    A window does not wait for rows that another program has yet to write.
    """
    size = min(_FIRST_ROWS, most)
    while window := _take(rows, size):
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
