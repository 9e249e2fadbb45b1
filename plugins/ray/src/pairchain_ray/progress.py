"""Tells how many rows are scored, where Ray's own progress bars cannot be drawn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from pairchain_cli.authoring import is_quiet, is_watched, note

_SECONDS = 30.0


class Counter:
    """Counts rows; an actor of Ray."""

    def __init__(self) -> None:
        self._rows = 0

    def add(self, rows: int) -> None:
        """Count some more rows."""
        self._rows += rows

    def rows(self) -> int:
        """Return how many rows were counted. Those of a worker that was lost count twice."""
        return self._rows


@contextmanager
def reported(total: int | None) -> Iterator[Any]:
    """Yield the handle of a `Counter`, and write a line about it from time to time; or yield None.

    Args:
        total: How many rows there are, if it is known.
    """
    if is_watched() or is_quiet():
        yield None
        return
    counter = ray.remote(num_cpus=0)(Counter).remote()
    done = threading.Event()

    def report() -> None:
        began, told = time.monotonic(), 0
        while not done.wait(_SECONDS):
            rows = ray.get(counter.rows.remote())
            if rows == told:
                continue
            told = rows
            rate = rows / (time.monotonic() - began)
            note(f"scoring: {rows:,} {f'of {total:,} ' if total is not None else ''}rows · {rate:,.0f} rows/s")

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield counter
    finally:
        done.set()
        thread.join()
        ray.kill(counter)
