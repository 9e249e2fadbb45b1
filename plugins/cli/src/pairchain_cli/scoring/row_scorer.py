"""Scores rows, and names the row that cannot be scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pairchain.errors import InputError, NonFiniteScoresError, PairchainError
from pairchain_cli.rows.rows import ERROR, Row, Score
from pairchain_cli.scoring.model import Scorer
from pairchain_cli.terminal import lines


class RowScorer:
    """Scores windows of rows.

    Args:
        scorer: Scores pairs.
        pair: Returns the pair of a row.
        skips: Whether a row that cannot be scored gets its error in the column ``error``, instead of ending the run.
    """

    def __init__(self, scorer: Scorer, pair: Callable[[Row], tuple[Any, ...]], *, skips: bool) -> None:
        self._predict = scorer.predict
        self._pair = pair
        self._labels = scorer.model.declared_num_labels() or 1
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
            except Exception as error:  # a module may raise anything
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


def _indices(error: Exception) -> Sequence[int]:
    """Return the places of the pairs at fault; empty if the fault is not that of a pair."""
    if isinstance(error, NonFiniteScoresError):
        return list(error.indices)
    if isinstance(error, InputError):
        return [] if error.index is None else [error.index]
    named: Sequence[int] = getattr(error, "pairchain_inputs", ())
    # several pairs that fail together do not show which of them is at fault
    return named if len(named) == 1 else ()


def _located(error: Exception, row: Row, more: int = 0) -> PairchainError:
    if isinstance(error, NonFiniteScoresError):
        what = f"its score is NaN or infinite{f', and {more} more after it' if more else ''}."
    elif isinstance(error, InputError):
        what = error.fault
    else:
        kind = "" if isinstance(error, PairchainError) else f"{type(error).__name__}: "
        what = f"the model cannot score it: {kind}{str(error).splitlines()[0] if str(error) else ''}"
    more_facts = {name: getattr(error, name, "") for name in ("where", "next_step", "argument")}
    return PairchainError(f"{row.place}: {what}", **more_facts)


def _as_scores(scores: Any) -> list[Score]:
    """Return float32 scores as the shortest decimal numbers that distinguish them."""
    return [[_shortest(one) for one in score] if score.ndim else _shortest(score) for score in scores]


def _shortest(score: Any) -> float | None:
    number = float(str(score))
    return number if math.isfinite(number) else None
