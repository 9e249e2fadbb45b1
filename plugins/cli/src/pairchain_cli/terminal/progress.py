"""Shows the progress of scoring on a terminal: rows, rows per second, and the time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pairchain_cli.rows.rows import Rows
from pairchain_cli.terminal import consoles, lines

# Between two lines, where a bar cannot be drawn.
_SECONDS = 30.0


class Progress:
    """A bar that fills as an input is read; if stderr is not a terminal, a line every `_SECONDS` seconds instead.

    Args:
        label: The text before the bar, such as ``"scoring"``.
        rows: The input.
    """

    def __init__(self, label: str, rows: Rows) -> None:
        self._label = label
        self._rows = rows
        self._bar: Any = None
        self._done = 0

    def __enter__(self) -> Progress:
        if consoles.is_watched():
            from rich.progress import BarColumn, SpinnerColumn, TextColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[rate]}"),
                console=consoles.console(stderr=True),
                transient=True,
                # rich would send stdout to stderr
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(self._label, total=None, rate="")
            self._bar.start()
        self.restart()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def restart(self) -> None:
        """Start counting now: rows before this were read but not scored."""
        self._done, self._before = 0, self._rows.position()
        self._began = self._noted = time.monotonic()

    def add(self, rows: int) -> None:
        """Count some more rows."""
        self._done += rows
        now = time.monotonic()
        if self._bar is None and now - self._noted < _SECONDS:
            return
        self._noted = now
        size, position = self._rows.size, self._rows.position()
        left = None if size is None else max(0, size - position)
        rate = _rate_text(self._done, now - self._began, position - self._before, left)
        if self._bar is None:
            lines.note(f"{self._label}: {rate}")
        else:
            self._bar.update(self._task, total=size or None, completed=position, rate=rate)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the bar while something is printed."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


def _rate_text(rows: int, seconds: float, read: int, left: int | None) -> str:
    """Return a text such as ``1,024 rows · 85 rows/s · 0:12:07 left``; ``read`` and ``left`` are parts of the input."""
    rate = rows / max(seconds, 1e-9)
    words = [f"{rows:,} rows", f"{rate:,.0f} rows/s" if rate >= 10 else f"{rate:.1f} rows/s"]
    if left is not None and read > 0:
        rest = round(seconds * left / read)
        words.append(f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02} left")
    return " · ".join(words)
