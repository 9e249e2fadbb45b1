"""Runs a function in several threads that switch as often as they can."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")

_THREADS = 4
_ROUNDS = 5


def at_once(run: Callable[[int], Result], count: int) -> list[tuple[int, Result]]:
    """Return each number below ``count`` with what ``run`` returned for it, as often as threads called it."""
    start = threading.Barrier(_THREADS)

    def work(thread: int) -> list[tuple[int, Result]]:
        start.wait()
        numbers = [(thread + turn) % count for turn in range(count)] * _ROUNDS
        return [(number, run(number)) for number in numbers]

    with _switching(), ThreadPoolExecutor(_THREADS) as executor:
        return [found for some in executor.map(work, range(_THREADS)) for found in some]


@contextmanager
def _switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
