"""Which of several ways of doing the same is the fastest on this machine, found out by trying."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from pairchain.errors import collected_warnings

# In turn, so that a machine that is slow for a while is slow for all of them.
_ROUNDS = 3


def fastest(run: Callable[[int], object], candidates: Sequence[int]) -> int:
    """Return the candidate that ``run`` is done with first, by the median of some rounds after one to warm up.

    Args:
        run: What to time. A candidate of which it warns that memory ran out is tried no more.
        candidates: What to call it with.
    """
    seconds: dict[int, list[float]] = {candidate: [] for candidate in candidates}
    for number in range(_ROUNDS + 1):
        for candidate in list(seconds):
            start = time.perf_counter()
            with collected_warnings() as warned:
                run(candidate)
            if number:
                seconds[candidate].append(time.perf_counter() - start)
            if len(seconds) > 1 and any("out of memory" in message for message in warned):
                del seconds[candidate]
    return min(seconds, key=lambda candidate: statistics.median(seconds[candidate]))
