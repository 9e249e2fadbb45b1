"""Mixes the pairs of waiting requests into slices: fair by request, and of similar length."""

from __future__ import annotations

import heapq
import itertools
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from pairchain.authoring import Prepared, Together

Row = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Unit:
    """Items of a prepared call that are scored at the same time.

    Attributes:
        length: Their tokens.
    """

    job: Job
    prepared: Prepared
    numbers: Sequence[int]
    length: int


class Job:
    """What waits of one request.

    Args:
        on_end: Called, in the thread that scores, when nothing waits any more or an item has failed.

    Attributes:
        error: The error of the first item that failed, if one did.
        began, ended: When its first item began and its last ended, in seconds of `time.perf_counter`.
        inference: Seconds of the slices that its items were in.
    """

    def __init__(self, on_end: Callable[[Job], None]) -> None:
        self.error: Exception | None = None
        self.error_at: Prepared | None = None
        self.began = self.ended = 0.0
        self.inference = 0.0
        self._on_end = on_end
        self._rows: dict[Prepared, list[Row | None]] = {}
        self._left = 0
        self._is_complete = False
        # of the queue: its units by length, its place in the order of requests, and whether it is there
        self.units: list[Unit] = []
        self.tag = 0.0
        self.is_queued = self.is_dropped = False

    def expect(self, prepared: Prepared) -> list[Unit]:
        """Return the units of a prepared call of this request, and wait for them too."""
        self._rows[prepared] = [None] * len(prepared.items)
        self._left += len(prepared.items)
        return [
            Unit(self, prepared, unit, sum(prepared.items[number].length for number in unit)) for unit in prepared.units
        ]

    def complete(self) -> bool:
        """Note that no further call follows; return whether all have been scored."""
        self._is_complete = True
        return self._left == 0

    def rows(self, prepared: Prepared) -> list[Row]:
        """Return the rows of a call that was scored."""
        return [row for row in self._rows[prepared] if row is not None]

    def receive(self, prepared: Prepared, number: int, row: Row | None, error: Exception | None) -> None:
        """Take the row of an item, or its error; the caller holds the queue's lock."""
        self._rows[prepared][number] = row
        self._left -= 1
        if error is not None and self.error is None:
            self.error, self.error_at = error, prepared
        self.ended = perf_counter()

    @property
    def is_over(self) -> bool:
        """Whether its request can be answered."""
        return self.error is not None or (self._is_complete and self._left == 0)

    def end(self) -> None:
        """Tell its request, once."""
        on_end, self._on_end = self._on_end, _nothing
        on_end(self)


def _nothing(job: Job) -> None: ...


class Queue:
    """The waiting units of all requests for one model; several threads may use it.

    Requests take turns by tokens: each turn costs a request as many tokens as its unit has, and the request that has
    used the fewest is next. A new request starts where the others are, so it is next at once.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._order: list[tuple[float, int, Job]] = []
        self._serial = itertools.count()
        self._time = 0.0
        self._is_closed = False
        self.lock = self._changed

    def add(self, job: Job, prepared: Prepared) -> None:
        """Add a call to a request's units."""
        with self._changed:
            units = job.expect(prepared)
            if job.is_dropped:
                return
            job.units = sorted([*job.units, *units], key=lambda unit: unit.length)
            if not job.is_queued and job.units:
                job.tag = max(job.tag, self._time)
                self._push(job)
            self._changed.notify()

    def drop(self, job: Job) -> None:
        """Forget the waiting units of a request that no longer needs an answer."""
        with self._changed:
            job.is_dropped = True
            job.units.clear()

    def close(self) -> None:
        """Let `take` return None once nothing waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def take(self, most_tokens: Callable[[int], int]) -> list[Unit] | None:
        """Wait for units, and return some; None when the queue is closed and empty.

        ``most_tokens`` returns their most tokens for a number of waiting requests.

        The first request gives its longest unit; each further one gives its unit nearest to that length, so that little
        is padded.
        """
        with self._changed:
            while True:
                if units := self._next(most_tokens(len(self._order))):
                    return units
                if self._is_closed:
                    return None
                self._changed.wait()

    def _next(self, most_tokens: int) -> list[Unit]:
        taken: list[Unit] = []
        tokens, wanted = 0, None
        while self._order and (not taken or tokens < most_tokens):
            tag, _, job = heapq.heappop(self._order)
            job.is_queued = False
            if not job.units:
                continue
            self._time = max(self._time, tag)
            unit = job.units.pop() if wanted is None else job.units.pop(_nearest(job.units, wanted))
            wanted = unit.length if wanted is None else wanted
            taken.append(unit)
            tokens += unit.length
            job.tag = tag + unit.length
            if job.units:
                self._push(job)
        return taken

    def _push(self, job: Job) -> None:
        job.is_queued = True
        heapq.heappush(self._order, (job.tag, next(self._serial), job))


def _nearest(units: Sequence[Unit], length: int) -> int:
    """Return the place of the unit nearest to ``length``; the units are sorted by length."""
    place = bisect_left(units, length, key=lambda unit: unit.length)
    if place == len(units) or (place and length - units[place - 1].length < units[place].length - length):
        return place - 1
    return place


class Runner:
    """The threads that score with a model: one, or two that take slices in turn.

    Args:
        name: Its name.
        together: Scores.
        on_slice: Called after each slice with its pairs, tokens and seconds.
    """

    def __init__(self, name: str, together: Together, on_slice: Callable[[int, int, float], None]) -> None:
        self.queue = Queue()
        self.broken: Exception | None = None
        self._together = together
        self._on_slice = on_slice
        self._threads = [
            threading.Thread(target=self._run, name=f"scoring-{name}-{number}", daemon=True)
            for number in range(together.slices_at_once)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Score what waits, and end the threads."""
        self.queue.close()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (units := self.queue.take(self._together.tokens_per_slice)) is not None:
            units = [unit for unit in units if not unit.job.is_dropped]
            if units:
                self._score(units)
            # otherwise, this thread keeps the last requests while it waits
            del units

    def _score(self, units: Sequence[Unit]) -> None:
        entries = [(unit.prepared, number) for unit in units for number in unit.numbers]
        owners = [unit.job for unit in units for _ in unit.numbers]
        start = perf_counter()
        try:
            outcome = self._together.score(entries)
            rows, errors = outcome.scores, outcome.errors
        except Exception as error:
            if not self._together.works:
                self.broken = error
            rows, errors = [None] * len(entries), dict.fromkeys(range(len(entries)), error)
        seconds = perf_counter() - start
        with self.queue.lock:
            for job in dict.fromkeys(owners):
                job.began = job.began or start
                # two slices may have run at once
                job.inference = min(job.inference + seconds, perf_counter() - job.began)
            for position, ((prepared, number), job) in enumerate(zip(entries, owners, strict=True)):
                job.receive(prepared, number, rows[position], errors.get(position))
            over = [job for job in dict.fromkeys(owners) if job.is_over]
        for job in over:
            job.end()
        self._on_slice(len(entries), sum(unit.length for unit in units), seconds)
