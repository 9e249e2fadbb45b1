"""Things timed in turn, in one process, so that a noisy machine slows all of them: their medians and their ratios."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from busy import Watch

# A single run shorter than this is repeated: clocks, and what else the machine does, are too coarse for it.
_LEAST_SECONDS = 0.3

# Of a processor, used by others: a round with more is left out, if enough are left.
_MOST_FOREIGN = 0.12
_LEAST_QUIET_ROUNDS = 3

# A machine that is never quiet gets so many rounds more.
_MORE_ROUNDS = 3


@dataclass(frozen=True)
class Round:
    """One run of each of several things, in turn.

    Attributes:
        seconds: What each took.
        foreign: Processors that other processes used meanwhile, 0.5 for half of one.
    """

    seconds: dict[str, float]
    foreign: float = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether other processes hardly used the machine."""
        return self.foreign <= _MOST_FOREIGN


@dataclass(frozen=True)
class Timings:
    """Several rounds, of which only the quiet ones count, unless there are too few of them.

    Attributes:
        rounds: All of them.
    """

    rounds: list[Round]

    @property
    def is_busy(self) -> bool:
        """Whether too few rounds were quiet, so that all of them count."""
        return sum(one.is_quiet for one in self.rounds) < _LEAST_QUIET_ROUNDS

    @property
    def counted(self) -> list[Round]:
        """The rounds that count."""
        return [one for one in self.rounds if one.is_quiet or self.is_busy]

    def seconds(self, name: str) -> float:
        """Return the median of what ``name`` took."""
        return statistics.median(one.seconds[name] for one in self.counted)

    def ratio(self, name: str, to: str) -> float:
        """Return the median of what ``name`` took divided by what ``to`` took, round by round."""
        return statistics.median(one.seconds[name] / one.seconds[to] for one in self.counted)

    def difference(self, name: str, to: str) -> float:
        """Return the median of what ``name`` took less what ``to`` took, round by round, in seconds."""
        return statistics.median(one.seconds[name] - one.seconds[to] for one in self.counted)

    def compared(self, name: str, to: str) -> str:
        """Return a line that says how ``name`` compares with ``to``."""
        medians = f"{self.seconds(name) * 1000:8.1f} ms against {self.seconds(to) * 1000:8.1f} ms"
        difference = f"difference {self.difference(name, to) * 1000:+.1f} ms"
        return f"{medians}   ratio {self.ratio(name, to):.2f}   {difference}{self.noise}"

    @property
    def noise(self) -> str:
        """What to say of other processes, with two spaces before it; empty if they were quiet."""
        return "  (other processes were busy)" if self.is_busy else ""

    def __str__(self) -> str:
        return self.compared("ours", "theirs")


def time_in_turn(work: Mapping[str, Callable[[], object]], *, rounds: int, is_busy: bool = False) -> Timings:
    """Return what each of ``work`` takes, in at least ``rounds`` rounds, after one that does not count.

    Short work is repeated within a round, and its mean taken. On a machine where other processes are busy there are a
    few rounds more, to have enough quiet ones, unless they are meant to be: ``is_busy``.
    """
    repeats = {name: _repeats(call) for name, call in work.items()}
    done: list[Round] = []
    most = rounds if is_busy or rounds < _LEAST_QUIET_ROUNDS else rounds + _MORE_ROUNDS
    while len(done) < rounds or (sum(one.is_quiet for one in done) < rounds and len(done) < most):
        watch = Watch()
        seconds = {name: _seconds(call, repeats[name]) for name, call in work.items()}
        done.append(Round(seconds, watch.foreign()))
    return Timings(done)


def _repeats(call: Callable[[], object]) -> int:
    """Return how often ``call`` makes a run that is long enough to be timed; this also warms it up."""
    cold = _seconds(call, 1)
    # the first run may be slower, but not by this much
    return 1 if cold > 3 * _LEAST_SECONDS else max(1, math.ceil(_LEAST_SECONDS / _seconds(call, 1)))


def _seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats
