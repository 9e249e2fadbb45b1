"""How far the scores of one way to run a model are from those of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Drift:
    """The differences between two lists of scores for the same pairs.

    Attributes:
        expected: Scores of the exact way, of shape (pairs,) or (pairs, labels).
        found: Scores of the other way, of the same shape.
        rank_correlation: Spearman's correlation of the two, over all pairs; of several labels the lowest. One, if both
            ways give every pair the same score.
        top_agreement: The share of queries whose best document is the same, of those with several documents; None if
            there are none, or several labels.
    """

    expected: np.ndarray
    found: np.ndarray
    rank_correlation: float
    top_agreement: float | None

    @property
    def largest(self) -> float:
        """The largest difference; NaN if a score is."""
        return float(np.abs(self.expected - self.found).max(initial=0.0))

    @property
    def mean(self) -> float:
        """The mean difference."""
        return float(np.abs(self.expected - self.found).mean()) if self.expected.size else 0.0

    @property
    def spread(self) -> float:
        """The distance between the smallest and the largest score of the exact way."""
        return float(np.ptp(self.expected)) if self.expected.size else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the differences, and both lists of scores."""
        return {
            "pairs": len(self.expected),
            "largest": self.largest,
            "mean": self.mean,
            "spread": self.spread,
            "rank_correlation": self.rank_correlation,
            "top_agreement": self.top_agreement,
            "expected": self.expected.tolist(),
            "found": self.found.tolist(),
        }

    def __str__(self) -> str:
        lines = {
            "pairs": str(len(self.expected)),
            "difference of scores": f"largest {self.largest:.2g}, mean {self.mean:.2g}; scores spread by "
            f"{self.spread:.2g}",
            "rank correlation": f"{self.rank_correlation:.4f}",
        }
        if self.top_agreement is not None:
            lines["same best document"] = f"{self.top_agreement:.0%} of queries"
        return "\n".join(f"{name}: {value}" for name, value in lines.items())


def drift_between(pairs: Sequence[Any], exact: Callable[[], Any], other: Callable[[], Any]) -> Drift:
    """Return the drift of the scores that ``other`` returns from those that ``exact`` returns.

    Args:
        pairs: The pairs that both score; the first element of each is its query.
        exact: Returns scores of shape (pairs,) or (pairs, labels).
        other: Returns scores of the same shape.
    """
    expected, found = (np.asarray(score(), dtype=np.float64) for score in (exact, other))
    columns = [(expected, found)] if expected.ndim == 1 else zip(expected.T, found.T, strict=True)
    correlation = min((_correlation(one, two) for one, two in columns), default=1.0)
    agreement = _agreement([repr(pair[0]) for pair in pairs], expected, found) if expected.ndim == 1 else None
    return Drift(expected, found, correlation, agreement)


def _correlation(one: np.ndarray, two: np.ndarray) -> float:
    """Return Spearman's rank correlation."""
    first, second = (_ranks(values) for values in (one, two))
    spreads = [float(np.ptp(values)) if values.size else 0.0 for values in (first, second)]
    if not all(spreads):
        return float(not any(spreads))
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: np.ndarray = np.cumsum(counts) - (counts - 1) / 2
    ranks: np.ndarray = means[places]
    return ranks


def _agreement(queries: Sequence[str], expected: np.ndarray, found: np.ndarray) -> float | None:
    groups: dict[str, list[int]] = {}
    for place, query in enumerate(queries):
        groups.setdefault(query, []).append(place)
    several = [places for places in groups.values() if len(places) > 1]
    same = [int(expected[places].argmax()) == int(found[places].argmax()) for places in several]
    return sum(same) / len(same) if same else None
