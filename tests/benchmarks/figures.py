"""Figures of the benchmarks that stand in sentences of other pages."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

from tables import Found


def faster(found: Found) -> str:
    """Return how many times faster the default backend is with several pairs: the median, the least and the most."""
    ratios = sorted(_ratios(found, "over_default"))
    return f"{statistics.median(ratios):.1f}× as fast ({ratios[0]:.1f}× to {ratios[-1]:.1f}×)"


def faster_than_best(found: Found) -> str:
    """Return the median speed-up over the other library's best batch size."""
    return f"{statistics.median(_ratios(found, 'over_best')):.1f}×"


def first_score(found: Found) -> str:
    """Return how many times sooner a new process has its first score."""
    return f"{found['startup'][0]['ratio']:.1f}×"


def difference(found: Found) -> str:
    """Return the largest difference of a float32 score that should be equal, rounded up to a power of ten."""
    cases = [case for case in found["scoring"]["cases"] if case["dtype"] == "float32"]
    largest = max(case["sides"][side]["difference"] for case in cases for side in ("packed", "library"))
    return f"10<sup>−{-math.ceil(math.log10(largest))}</sup>"


def _ratios(found: Found, key: str) -> list[float]:
    cases = [case for case in found["scoring"]["cases"] if case["pairs"] > 1 and "packed" in case["sides"]]
    return [case["sides"]["packed"][key] for case in cases]


FIGURES: dict[str, Callable[[Found], str]] = {
    "faster": faster,
    "faster_than_best": faster_than_best,
    "first_score": first_score,
    "difference": difference,
}
