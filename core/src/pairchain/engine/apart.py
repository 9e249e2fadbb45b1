"""Scores pairs when some cannot be scored: finds those, and scores the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pairchain.errors import InputError


def scored_apart(
    predict: Callable[[list[Any]], Any], pairs: Sequence[Any], errors: list[str | None], *, allows_all: bool
) -> list[Any]:
    """Return the score of each pair, or None; write the reason into ``errors`` at the place of the pair.

    Args:
        predict: Returns the scores of some pairs, NaN and infinite ones included.
        pairs: The pairs.
        errors: A reason for each pair that is not to be scored, else None. It is completed.
        allows_all: Whether NaN and infinite scores are scores.

    Raises:
        Exception: What ``predict`` raised, if no single pair is at fault.
    """
    scores: list[Any] = [None] * len(pairs)

    def score(places: Sequence[int]) -> None:
        """Score some pairs; of pairs that fail together, each half again."""
        if not places:
            return
        try:
            found = predict([pairs[place] for place in places])
        except Exception as error:
            if not _is_of_inputs(error):
                raise
            if len(places) == 1:
                errors[places[0]] = str(error)
                return
            middle = len(places) // 2
            score(places[:middle])
            score(places[middle:])
            return
        for place, value in zip(places, found, strict=True):
            if allows_all or np.isfinite(value).all():
                scores[place] = value
            else:
                errors[place] = f"the score is {value}"

    score([place for place, error in enumerate(errors) if error is None])
    return scores


def _is_of_inputs(error: Exception) -> bool:
    """Return whether single inputs are at fault, and not an argument that all of them share."""
    if isinstance(error, InputError):
        return error.index is not None
    return bool(getattr(error, "pairchain_inputs", ()))
