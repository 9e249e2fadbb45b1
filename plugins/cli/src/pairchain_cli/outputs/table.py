"""A table of scores and rows for a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pairchain.authoring import harmless
from pairchain_cli.rows.rows import Row, Score
from pairchain_cli.terminal import consoles


class Table:
    """Prints rows and scores a window at a time under one header, as wide as the terminal.

    Args:
        columns: The columns of the input to show.
        numbered: Whether to number the rows, from 1.
    """

    def __init__(self, columns: Sequence[str], *, numbered: bool = False) -> None:
        self._columns = columns
        self._numbered = numbered
        self._printed = 0

    def print(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Print some rows."""
        from rich.table import Table as RichTable
        from rich.text import Text

        console = consoles.console(stderr=False)
        several = len(scores[0]) if scores and isinstance(scores[0], list) else 1
        taken = 8 * several + (6 if self._numbered else 0)
        each = max(10, (console.width - taken) // len(self._columns) - 2)
        table = RichTable(box=None, pad_edge=False, show_header=self._printed == 0, header_style="bold")
        if self._numbered:
            table.add_column("#", justify="right", width=4, style="dim")
        for place in range(several):
            name = "score" if several == 1 else f"score {place}"
            table.add_column(name, justify="right", width=7, style="cyan", no_wrap=True)
        for column in self._columns:
            table.add_column(column, width=each, no_wrap=True, overflow="ellipsis")
        for row, score in zip(rows, scores, strict=True):
            self._printed += 1
            numbers = score if isinstance(score, list) else [score]
            cells = [str(self._printed)] if self._numbered else []
            cells += ["–" if number is None else f"{number:.4f}" for number in numbers]
            cells += [_cell(row.written.get(column, "")) for column in self._columns]
            table.add_row(*map(Text, cells))
        console.print(table)


def _cell(value: Any) -> str:
    text = (
        value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    )
    return harmless(" ".join(text[:2000].split()))
