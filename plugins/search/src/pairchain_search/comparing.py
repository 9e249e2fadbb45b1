"""Compares two systems query by query, with a paired test of scipy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pairchain_search.measures import System

# Differences below this are rounding.
_SAME = 1e-9


class Test(StrEnum):
    """A paired, two-sided test."""

    T = "t-test"
    RANDOMIZATION = "randomization"


@dataclass(frozen=True)
class Comparison:
    """The difference of two systems in one measure.

    Attributes:
        measure: The measure.
        baseline: The name of the system that is subtracted.
        system: The name of the other.
        by_query: The difference for each query.
        difference: Their mean.
        p: The probability of such a mean difference if the systems were equally good; None with fewer than two queries.
        better: The number of queries with a positive difference.
        worse: The number with a negative one.
        equal: The number without one.
    """

    measure: str
    baseline: str
    system: str
    by_query: Mapping[str, float]
    difference: float
    p: float | None
    better: int
    worse: int
    equal: int


def compared(baseline: System, system: System, measure: str, test: Test) -> Comparison:
    """Return how ``system`` differs from ``baseline`` in one measure."""
    before, after = baseline.values[measure], system.values[measure]
    by_query = {name: after[name] - before[name] for name in before if name in after}
    values = list(by_query.values())
    return Comparison(
        measure,
        baseline.name,
        system.name,
        by_query,
        system.means[measure] - baseline.means[measure],
        _p([before[name] for name in by_query], [after[name] for name in by_query], test),
        sum(value > _SAME for value in values),
        sum(value < -_SAME for value in values),
        sum(abs(value) <= _SAME for value in values),
    )


def _p(before: list[float], after: list[float], test: Test) -> float | None:
    # scipy takes a second to import
    import numpy as np
    from scipy import stats

    if len(before) < 2:
        return None
    if np.allclose(before, after, rtol=0, atol=_SAME):
        return 1.0
    if test == Test.RANDOMIZATION:
        found = stats.permutation_test(
            (after, before),
            lambda one, other, axis: np.mean(one - other, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=9999,
            # limits memory
            batch=100,
            rng=0,
        )
        return float(found.pvalue)
    with warnings.catch_warnings():
        # if all differences are equal
        warnings.simplefilter("ignore", RuntimeWarning)
        p = float(stats.ttest_rel(after, before).pvalue)
    return None if math.isnan(p) else p
