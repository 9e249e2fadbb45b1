"""Scores rows a window at a time: a window is enough rows to sort by length, and at most seconds of work."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pairchain.errors import InputError, NonFiniteScoresError, PairchainError
from pairchain_cli.rows.rows import Row, Score

MOST_ROWS = 4096
_FIRST_ROWS = 32
_SECONDS = 10.0
# limits the memory of a window of long texts
_MOST_LETTERS = 2**24


def windows(rows: Iterator[Row], most: int = MOST_ROWS) -> Iterator[list[Row]]:
    """Yield lists of at most ``most`` rows, each sized to take `_SECONDS` at the previous one's rate."""
    size = min(_FIRST_ROWS, most)
    while window := _take(rows, size):
        began = time.monotonic()
        yield window
        seconds = max(time.monotonic() - began, 1e-3)
        fitting = int(len(window) * _SECONDS / seconds)
        size = max(1, min(most, 4 * size, max(fitting, min(size, _FIRST_ROWS))))


def _take(rows: Iterator[Row], size: int) -> list[Row]:
    window: list[Row] = []
    letters = 0
    while len(window) < size and letters < _MOST_LETTERS and (row := next(rows, None)) is not None:
        window.append(row)
        letters += sum(len(value) for value in row.values.values() if isinstance(value, str | bytes))
    return window


def score_window(
    window: Sequence[Row], predict: Callable[[Sequence[tuple[Any, Any]]], Any], pair: Callable[[Row], tuple[Any, Any]]
) -> list[Score]:
    """Return the scores of some rows; ``pair`` returns the pair of a row, and ``predict`` scores pairs.

    Raises:
        PairchainError: A row cannot be scored; the message names its place.
    """
    try:
        return _as_scores(predict([pair(row) for row in window]))
    except NonFiniteScoresError as error:
        first = window[error.indices[0]]
        more = f", and {len(error.indices) - 1} more after it" if len(error.indices) > 1 else ""
        raise PairchainError(
            f"{first.place}: its score is NaN or infinite{more}.", next_step=error.next_step, argument=error.argument
        ) from error
    except InputError as error:
        if error.index is None:
            raise
        raise PairchainError(
            f"{window[error.index].place}: {error.fault}",
            where=error.where,
            next_step=error.next_step,
            argument=error.argument,
        ) from error


def _as_scores(scores: Any) -> list[Score]:
    """Return float32 scores as the shortest decimal numbers that distinguish them."""
    return [[_shortest(one) for one in score] if score.ndim else _shortest(score) for score in scores]


def _shortest(score: Any) -> float | None:
    number = float(str(score))
    return number if math.isfinite(number) else None
