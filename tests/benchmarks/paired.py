"""Two things timed in turn, in one process, so that a noisy machine slows both: their medians and their ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """Seconds that two things took, run by run.

    Attributes:
        ours: One figure a run.
        theirs: The other side's, of the same run.
    """

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """Median of ours divided by theirs, run by run."""
        return statistics.median(ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))

    @property
    def difference(self) -> float:
        """Median of ours less theirs, run by run, in seconds."""
        return statistics.median(ours - theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))

    def __str__(self) -> str:
        ours, theirs = (statistics.median(side) * 1000 for side in (self.ours, self.theirs))
        medians = f"{ours:8.1f} ms against {theirs:8.1f} ms"
        return f"{medians}   ratio {self.ratio:.2f}   difference {self.difference * 1000:+.1f} ms"


def time_in_turn(ours: Callable[[], object], theirs: Callable[[], object], *, runs: int) -> Pair:
    """Return the seconds of ``runs`` runs of each, in turn, after one of each that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for side, work in zip(seconds, (ours, theirs), strict=True):
            start = time.perf_counter()
            work()
            if run:
                side.append(time.perf_counter() - start)
    return Pair(*seconds)
