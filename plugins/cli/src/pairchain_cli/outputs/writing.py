"""Rows and their scores as text, in jsonl, csv or a table, and where that goes."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import typer

from pairchain.authoring import harmless
from pairchain.errors import PairchainError
from pairchain_cli.rows.reading import STDIN, Row
from pairchain_cli.telling import terminal

# what a shell reports of a program whose output nobody reads any more: 128 and the signal for that
NOBODY_READS = 141

STDOUT = STDIN
# a float32, a list of them where the model gives several, or None for one that is no number
Score = float | list[float | None] | None


class OutputFormat(StrEnum):
    """What results are written as."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def chosen_format(output: str, asked: OutputFormat | None) -> OutputFormat:
    """Return what to write as: what is asked, else what the name says, else a table for a person, jsonl for a pipe.

    Raises:
        PairchainError: The file's name says nothing, or what is asked cannot be written there.
    """
    is_stdout = output == STDOUT
    is_read = is_stdout and sys.stdout.isatty()
    if asked is None and is_stdout:
        return OutputFormat.TABLE if is_read else OutputFormat.JSONL
    ending = Path(output).suffix.lower().removeprefix(".")
    found = asked or {"ndjson": OutputFormat.JSONL}.get(ending) or OutputFormat._value2member_map_.get(ending)
    if not isinstance(found, OutputFormat):
        raise PairchainError(
            f"the name of {output!r} does not say how to write it.",
            next_step="let it end in .jsonl, .csv or .parquet, or add --format.",
        )
    if found == OutputFormat.TABLE and not is_stdout:
        raise PairchainError("a table is for a terminal, not for a file.", next_step="write jsonl, csv or parquet.")
    if found == OutputFormat.PARQUET and is_read:
        raise PairchainError("parquet is nothing to read on a terminal.", next_step="add --output FILE.")
    return found


def as_scores(scores: Any) -> list[Score]:
    """Return what `predict` gave as numbers that are written as short as float32 can be told apart."""
    return [[_short(one) for one in score] if score.ndim else _short(score) for score in scores]


def _short(score: Any) -> float | None:
    number = float(str(score))
    return number if math.isfinite(number) else None


class Encoder(Protocol):
    """Turns rows and scores into bytes of a text file.

    Attributes:
        head: The columns of the file, if its first line names them and they are known by now.
    """

    head: list[str] | None

    def encode(self, rows: Sequence[Row], scores: Sequence[Score]) -> bytes:
        """Return the lines for some rows.

        Raises:
            PairchainError: A row does not fit.
        """
        ...

    def encode_nothing(self, columns: Sequence[str]) -> bytes:
        """Return what a file without rows holds, whose input has these columns."""
        ...

    def counter(self) -> RecordCounter:
        """Return what counts the rows in a file that was encoded."""
        ...

    def starts(self, data: bytes) -> bool:
        """Return whether a file that begins with ``data`` has the head that it should have."""
        ...


class RecordCounter:
    """Counts the rows of a file as its bytes come in.

    Args:
        head: How many records come before the first row.
        quote: What encloses fields that may hold line ends; nothing where there are none.
    """

    def __init__(self, *, head: int = 0, quote: bytes = b"") -> None:
        self.records = -head
        self._quote = quote
        self._is_quoted = False

    def count(self, data: bytes) -> None:
        """Take in the next bytes."""
        for place, part in enumerate(data.split(self._quote) if self._quote else [data]):
            # between two parts there is one quote
            self._is_quoted ^= place > 0
            if not self._is_quoted:
                self.records += part.count(b"\n")


class JsonLines:
    """One JSON object a line: the row as it was, and its score.

    Args:
        score_column: What the score is called.
    """

    head: list[str] | None = None

    def __init__(self, score_column: str) -> None:
        self._score_column = score_column

    def encode(self, rows: Sequence[Row], scores: Sequence[Score]) -> bytes:
        """Return the lines for some rows."""
        return b"".join(map(self._line, rows, scores))

    def encode_nothing(self, columns: Sequence[str]) -> bytes:
        """Return nothing."""
        return b""

    def counter(self) -> RecordCounter:
        """Return what counts the rows in a file: each is a line."""
        return RecordCounter()

    def starts(self, data: bytes) -> bool:
        """Return whether there is no head."""
        return self.head is None

    def _line(self, row: Row, score: Score) -> bytes:
        values = {column: _plain(row, column) for column in row.values}
        return json.dumps({**values, self._score_column: score}, ensure_ascii=False, default=_as_text).encode() + b"\n"


class Csv:
    """Fields between commas, after a head: the row as it was, and its score, or a column for each score.

    Args:
        score_column: What the score is called; of several, the first is ``score_0``.
    """

    def __init__(self, score_column: str) -> None:
        self.head: list[str] | None = None
        self._score_column = score_column

    def encode(self, rows: Sequence[Row], scores: Sequence[Score]) -> bytes:
        """Return the records for some rows, after the head if they are the first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = _score_names(self._score_column, scores[0])
        if self.head is None:
            self.head = [*dict.fromkeys(column for row in rows for column in row.values), *names]
            writer.writerow(self.head)
        columns = self.head[: -len(names)]
        known = set(columns)
        for row, score in zip(rows, scores, strict=True):
            for column in row.values.keys() - known:
                raise row.refused(
                    "there was no such column in the rows before, and the head of the csv file is written.",
                    column=column,
                    next_step="write jsonl, which needs no head.",
                )
            fields = [_field(_plain(row, column)) for column in columns]
            writer.writerow([*fields, *(score if isinstance(score, list) else [score])])
        return text.getvalue().encode()

    def encode_nothing(self, columns: Sequence[str]) -> bytes:
        """Return the head alone."""
        return _head_line([*columns, self._score_column])

    def counter(self) -> RecordCounter:
        """Return what counts the rows in a file: each is a record after the head."""
        return RecordCounter(head=1, quote=b'"')

    def starts(self, data: bytes) -> bool:
        """Return whether ``data`` begins with the head, as far as it goes."""
        return self.head is not None and (head := _head_line(self.head))[: len(data)] == data[: len(head)]


def _head_line(names: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(names)
    return text.getvalue().encode()


def _field(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_as_text)
    return value if isinstance(value, str | int | float | None) else _as_text(value)


def _plain(row: Row, column: str) -> Any:
    """Return what a row holds in a column, if text can say it.

    Raises:
        PairchainError: It is bytes, which a parquet file may hold.
    """
    value = row.values.get(column)
    if isinstance(value, bytes):
        raise row.refused("it holds bytes, which are no text.", column=column, next_step="write parquet.")
    return value


def _as_text(value: Any) -> str:
    # dates and times
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def refuse_taken(rows: Sequence[Row], score_column: str, score: Score) -> None:
    """Refuse rows that have a column of the score's name already.

    Raises:
        PairchainError: One has.
    """
    names = {score_column, *_score_names(score_column, score)}
    for row in rows:
        if taken := names & row.values.keys():
            raise row.refused(
                "the input has this column already.", column=min(taken), next_step="add --score-column NAME."
            )


def _score_names(score_column: str, score: Score) -> list[str]:
    if not isinstance(score, list):
        return [score_column]
    return [f"{score_column}_{place}" for place in range(len(score))]


def encoder_for(written_as: OutputFormat, score_column: str) -> Encoder:
    """Return what turns rows into jsonl or csv."""
    return Csv(score_column) if written_as == OutputFormat.CSV else JsonLines(score_column)


class Table:
    """Rows of text for a person, as wide as the terminal; printed a window at a time, under one head.

    Args:
        columns: The columns of the input that are shown.
        numbered: Whether each row is numbered, from 1.
    """

    def __init__(self, columns: Sequence[str], *, numbered: bool = False) -> None:
        self._columns = columns
        self._numbered = numbered
        self._printed = 0

    def print(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Print some rows."""
        from rich.table import Table as RichTable

        console = terminal.results()
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
        from rich.text import Text

        for row, score in zip(rows, scores, strict=True):
            self._printed += 1
            numbers = score if isinstance(score, list) else [score]
            cells = [str(self._printed)] if self._numbered else []
            cells += ["–" if number is None else f"{number:.4f}" for number in numbers]
            cells += [_shown(row.values[column]) for column in self._columns]
            table.add_row(*map(Text, cells))
        console.print(table)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return harmless(" ".join(text[:2000].split()))


@contextmanager
def opened_stream(output: str) -> Iterator[BinaryIO]:
    """Yield stdout, or a pipe or device that stands under a name, to write bytes to.

    Raises:
        PairchainError: It cannot be written.
    """
    if output != STDOUT:
        try:
            file = open(output, "wb")  # noqa: SIM115 - what fails here is not what fails inside the block
        except OSError as error:
            raise PairchainError(f"cannot write {output!r}: {error.strerror}.") from error
        with file:
            yield file
        return
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except OSError as error:
        # what is still buffered cannot be written either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(NOBODY_READS) from None
        raise


def is_stream(output: str) -> bool:
    """Return whether what is written is gone at once: stdout, or a pipe or device such as /dev/null."""
    if output == STDOUT or output.startswith("/dev/"):
        return True
    return os.path.exists(output) and not os.path.isfile(output) and not os.path.isdir(output)
