"""How far the work is, on stderr where a person watches it: rows, rows a second, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pairchain_cli.rows.reading import Rows
from pairchain_cli.telling import terminal


class Progress:
    """A bar that fills as an input is read; without one where nobody watches.

    Args:
        what: What is done, such as ``"scoring"``.
        rows: The input.
    """

    def __init__(self, what: str, rows: Rows) -> None:
        self._what = what
        self._rows = rows
        self._bar: Any = None
        self._done = 0

    def __enter__(self) -> Progress:
        if terminal.is_watched():
            from rich.progress import BarColumn, SpinnerColumn, TextColumn
            from rich.progress import Progress as RichProgress

            # whatever else is written goes its own way: rich would send stdout to stderr
            self._bar = RichProgress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[told]}"),
                console=terminal.notes(),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(self._what, total=None, told="")
            self._bar.start()
        self.restart()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def restart(self) -> None:
        """Count from here: what came before was only read."""
        self._done, self._began, self._before = 0, time.monotonic(), self._rows.position()

    def add(self, rows: int) -> None:
        """Say that so many rows more are done."""
        self._done += rows
        if self._bar is None:
            return
        size = self._rows.size
        self._bar.update(
            self._task,
            total=size or None,
            completed=self._rows.position(),
            told=told(self._done, time.monotonic() - self._began, self._rows.position() - self._before, self._left()),
        )

    def _left(self) -> int | None:
        return None if self._rows.size is None else max(0, self._rows.size - self._rows.position())

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bar away while something is printed."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


def told(rows: int, seconds: float, read: int, left: int | None) -> str:
    """Return the words beside the bar, such as ``1,024 rows · 85 rows/s · 0:12:07 left``.

    Args:
        rows: Rows that are done.
        seconds: How long that took.
        read: How much of the input they were.
        left: How much of it is left, if anybody knows.
    """
    rate = rows / max(seconds, 1e-9)
    words = [f"{rows:,} rows", f"{rate:,.0f} rows/s" if rate >= 10 else f"{rate:.1f} rows/s"]
    if left is not None and read > 0:
        rest = round(seconds * left / read)
        words.append(f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02} left")
    return " · ".join(words)
