"""Finds the fastest of several candidates on this machine by trying them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from pairchain.errors import OutOfMemoryWarning, collected_warnings

# Rounds over all candidates: a machine that is slow for a while slows all of them.
_ROUNDS = 3


def fastest(run: Callable[[int], object], candidates: Sequence[int]) -> int:
    """Return the candidate with the smallest median time over some rounds, after one round to warm up."""
    seconds: dict[int, list[float]] = {candidate: [] for candidate in candidates}
    for number in range(_ROUNDS + 1):
        for candidate in list(seconds):
            start = time.perf_counter()
            with collected_warnings() as warned:
                run(candidate)
            if number:
                seconds[candidate].append(time.perf_counter() - start)
            if len(seconds) > 1 and any(isinstance(warning, OutOfMemoryWarning) for warning in warned):
                del seconds[candidate]
    return min(seconds, key=lambda candidate: statistics.median(seconds[candidate]))
