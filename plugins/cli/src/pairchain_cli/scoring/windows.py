"""Scores rows a window at a time: a window is enough rows to sort by length, and at most seconds of work."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pairchain.errors import InputError, NonFiniteScoresError, PairchainError
from pairchain_cli.rows.rows import ERROR, Row, Rows, Score
from pairchain_cli.terminal import lines

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


class RowScorer:
    """Scores windows of rows.

    Args:
        predict: Scores pairs.
        pair: Returns the pair of a row.
        labels: The number of scores per pair; None if it is not known before scoring.
        skips: Whether a row that cannot be scored gets its error in the column ``error``, instead of ending the run.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[tuple[Any, Any]]], Any],
        pair: Callable[[Row], tuple[Any, Any]],
        *,
        labels: int | None = None,
        skips: bool = False,
    ) -> None:
        self._predict = predict
        self._pair = pair
        self._labels = labels or 1
        self._skips = skips
        self._failed = 0

    def score(self, window: Sequence[Row]) -> tuple[Sequence[Row], list[Score]]:
        """Return the rows of a window with the columns that scoring adds, and their scores.

        Raises:
            PairchainError: A row cannot be scored and is not to be skipped; the message names its place.
        """
        faults = {place: row.fault for place, row in enumerate(window) if row.fault is not None}
        scores: dict[int, Score] = {}
        while len(scores) + len(faults) < len(window):
            left = [place for place in range(len(window)) if place not in faults]
            try:
                found = _as_scores(self._predict([self._pair(window[place]) for place in left]))
            except (InputError, NonFiniteScoresError) as error:
                failed = [left[index] for index in _indices(error)]
                if not failed:
                    raise
                if not self._skips:
                    raise _located(error, window[failed[0]], more=len(failed) - 1) from error
                faults |= {place: _located(error, window[place]) for place in failed}
            else:
                scores = dict(zip(left, found, strict=True))
        return (self._with_errors(window, faults) if self._skips else window), self._completed(scores, len(window))

    def report(self) -> None:
        """Say how many rows could not be scored, if any."""
        if self._failed:
            rows = "1 row was" if self._failed == 1 else f"{self._failed:,} rows were"
            lines.note(f"{rows} not scored; the column {ERROR!r} says why.")

    def _with_errors(self, window: Sequence[Row], faults: Mapping[int, PairchainError]) -> list[Row]:
        self._failed += len(faults)
        errors = (faults[place].what if place in faults else None for place in range(len(window)))
        return [replace(row, added={**row.added, ERROR: error}) for row, error in zip(window, errors, strict=True)]

    def _completed(self, scores: Mapping[int, Score], count: int) -> list[Score]:
        for score in scores.values():
            self._labels = len(score) if isinstance(score, list) else 1
        missing: Score = None if self._labels == 1 else [None] * self._labels
        return [scores.get(place, missing) for place in range(count)]


def _indices(error: InputError | NonFiniteScoresError) -> Sequence[int]:
    """Return the places of the pairs at fault; empty if the fault is not that of a pair."""
    if isinstance(error, NonFiniteScoresError):
        return list(error.indices)
    return [] if error.index is None else [error.index]


def _located(error: InputError | NonFiniteScoresError, row: Row, more: int = 0) -> PairchainError:
    if isinstance(error, InputError):
        what = error.fault
    else:
        what = f"its score is NaN or infinite{f', and {more} more after it' if more else ''}."
    return PairchainError(f"{row.place}: {what}", where=error.where, next_step=error.next_step, argument=error.argument)


def _as_scores(scores: Any) -> list[Score]:
    """Return float32 scores as the shortest decimal numbers that distinguish them."""
    return [[_shortest(one) for one in score] if score.ndim else _shortest(score) for score in scores]


def _shortest(score: Any) -> float | None:
    number = float(str(score))
    return number if math.isfinite(number) else None
