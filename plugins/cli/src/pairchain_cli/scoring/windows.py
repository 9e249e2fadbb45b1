"""Rows in windows: as many as are worth sorting by length together, and no more than seconds of work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pairchain.errors import InputError, NonFiniteScoresError, PairchainError
from pairchain_cli.outputs.writing import Score, as_scores
from pairchain_cli.rows.reading import Row

MOST_ROWS = 4096
_FIRST_ROWS = 32
_SECONDS = 10.0
# so that a window of long texts does not fill the memory either
_MOST_LETTERS = 2**24


def windows(rows: Iterator[Row], most: int = MOST_ROWS) -> Iterator[list[Row]]:
    """Yield rows in lists, each about as long as `_SECONDS` allow at the rate of the one before.

    Args:
        rows: The rows.
        most: Most rows in a list.
    """
    size = min(_FIRST_ROWS, most)
    while window := _taken(rows, size):
        began = time.monotonic()
        yield window
        seconds = max(time.monotonic() - began, 1e-3)
        fitting = int(len(window) * _SECONDS / seconds)
        size = max(1, min(most, 4 * size, max(fitting, min(size, _FIRST_ROWS))))


def _taken(rows: Iterator[Row], size: int) -> list[Row]:
    window: list[Row] = []
    letters = 0
    while len(window) < size and letters < _MOST_LETTERS and (row := next(rows, None)) is not None:
        window.append(row)
        letters += sum(len(value) for value in row.values.values() if isinstance(value, str | bytes))
    return window


def scored(
    window: Sequence[Row], predict: Callable[[Sequence[tuple[Any, Any]]], Any], pair: Callable[[Row], tuple[Any, Any]]
) -> list[Score]:
    """Return the scores of some rows.

    Args:
        window: The rows.
        predict: Scores pairs.
        pair: Returns the pair that a row is.

    Raises:
        PairchainError: A row cannot be scored; the message says which, and where it is.
    """
    try:
        return as_scores(predict([pair(row) for row in window]))
    except NonFiniteScoresError as error:
        first = window[error.indices[0]]
        more = f"; so do {len(error.indices) - 1} rows after it" if len(error.indices) > 1 else ""
        raise PairchainError(
            f"{first.place}: its score is NaN or infinite{more}.", next_step=error.next_step
        ) from error
    except InputError as error:
        if error.index is None:
            raise
        said = error.what.partition(" ")[2].partition(" ")[2]
        raise PairchainError(
            f"{window[error.index].place}: {said or error.what}", where=error.where, next_step=error.next_step
        ) from error
