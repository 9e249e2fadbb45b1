"""Rows of a file, one at a time, with the place each is from; what cannot be read is told by file, line and column."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from pairchain.authoring import nearest
from pairchain.errors import PairchainError
from pairchain_cli.rows.lines import MOST_BYTES, Lines

STDIN = "-"
_ENDINGS = {".txt": "txt", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_JSON_KINDS = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}


class InputFormat(StrEnum):
    """What a file of rows is written in."""

    TXT = "txt"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the input.

    Attributes:
        values: What is in it, by column.
        source: What it is read from.
        number: Which line of that it begins in, or which row it is where there are no lines; from 1.
        unit: ``"line"`` or ``"row"``.
    """

    values: dict[str, Any]
    source: str
    number: int
    unit: str = "line"

    @property
    def place(self) -> str:
        """Where the row is, for a person."""
        return f"{self.source}, {self.unit} {self.number}"

    def refused(self, what: str, *, column: str = "", next_step: str = "") -> PairchainError:
        """Return the error that says what is wrong with this row, or with one column of it."""
        named = f"{self.place}, column {column!r}" if column else self.place
        return PairchainError(f"{named}: {what}", next_step=next_step)


@dataclass
class Rows:
    """The rows of one input.

    Attributes:
        name: What a person calls it.
        rows: The rows, to be read once.
        columns: The columns that its head names; None where each row names its own.
        size: How much there is to read, in units of `position`; None if nobody knows.
        position: Returns how much of that is read.
        schema: The Arrow schema of a parquet file, else None.
    """

    name: str
    rows: Iterator[Row]
    columns: tuple[str, ...] | None = None
    size: int | None = None
    position: Callable[[], int] = lambda: 0
    schema: Any = None


@dataclass(frozen=True)
class Layout:
    """How rows are written in a file.

    Attributes:
        needed: The columns that are scored.
        format: The file's format; None for what its name or its first byte says.
        delimiter: What separates the fields of a csv file.
    """

    needed: tuple[str, ...]
    format: InputFormat | None = None
    delimiter: str = ","


@contextmanager
def open_rows(path: str, layout: Layout) -> Iterator[Rows]:
    """Yield the rows of the file at ``path``, or of stdin for ``"-"``.

    Raises:
        PairchainError: It cannot be read, or lacks a column that is needed. A row raises it too, when it is reached.
    """
    with _opened(path) as file:
        name = "stdin" if path == STDIN else path
        found = layout.format or _format_of(path, file)
        if found == InputFormat.PARQUET:
            from pairchain_cli.rows import parquet

            rows = parquet.read(file, name)
            _require(layout.needed, rows)
        else:
            lines = Lines(file, name)
            rows = _OF_TEXT[found](lines, layout)
            rows.size, rows.position = _size_of(file), lambda: lines.position
        rows.rows = _checked(rows.rows, layout.needed)
        yield rows


def looks_like_file(text: str) -> bool:
    """Return whether ``text`` means a file of rows: it has the ending of one, and is a single word or there."""
    is_word = not any(letter.isspace() for letter in text)
    return Path(text).suffix.lower() in _ENDINGS and (is_word or os.path.exists(text))


def is_terminal_input(path: str) -> bool:
    """Return whether rows would have to be typed."""
    return path == STDIN and sys.stdin.isatty()


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == STDIN:
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - what fails here is not what fails inside the block
    except OSError as error:
        raise PairchainError(f"cannot read {path!r}: {error.strerror}.", next_step="name a file.") from error
    with file:
        yield file


def _format_of(path: str, file: BinaryIO) -> InputFormat:
    if path != STDIN and not os.path.isfile(path):
        path = STDIN  # a pipe of the shell's, as in <(zcat pairs.jsonl.gz), has no ending either
    if path == STDIN:
        start = file.peek(4).lstrip(b"\xef\xbb\xbf \t\r\n") if isinstance(file, io.BufferedReader) else b""
        if start.startswith(b"PAR1"):
            return InputFormat.PARQUET
        return InputFormat.JSONL if start.startswith(b"{") else InputFormat.TXT
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise PairchainError(
            f"the name of {path!r} does not say how its rows are written.",
            next_step=f"rename it to end in {', '.join(_ENDINGS)}, or add --input-format; "
            "a compressed file can be piped in: zcat FILE | pairchain …",
        )
    return InputFormat(_ENDINGS[ending])


def _size_of(file: BinaryIO) -> int | None:
    """Return the bytes of a file on disk; nobody knows how many are to come through a pipe."""
    try:
        found = os.fstat(file.fileno())
    except (OSError, io.UnsupportedOperation):
        return None
    return found.st_size if file.seekable() else None


def _texts(lines: Lines, layout: Layout) -> Rows:
    return Rows(lines.name, _rows_of_texts(lines, layout.needed), columns=layout.needed)


def _rows_of_texts(lines: Lines, needed: tuple[str, ...]) -> Iterator[Row]:
    for line in lines:
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        # of a line that is all one column, a tab is a letter like others
        fields = text.split("\t") if len(needed) > 1 else [text]
        row = Row(dict(zip(needed, fields, strict=False)), lines.name, lines.number)
        if len(fields) != len(needed):
            raise row.refused(
                f"it has {len(fields)} field{'' if len(fields) == 1 else 's'} between tabs, not {len(needed)}.",
                next_step=f"a line is {', a tab, '.join(needed)}; for other files add --input-format jsonl or csv.",
            )
        yield row


def _json_lines(lines: Lines, layout: Layout) -> Rows:
    return Rows(lines.name, _rows_of_json(lines))


def _rows_of_json(lines: Lines) -> Iterator[Row]:
    for line in lines:
        if not line.strip():
            continue
        here = Row({}, lines.name, lines.number)
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise here.refused(
                f"it is not JSON: {error.msg} at character {error.colno}.",
                next_step="write an object on each line, such as "
                '{"query": "…", "document": "…"}; for other files add --input-format.',
            ) from error
        except (ValueError, RecursionError) as error:
            raise here.refused(f"it cannot be read as JSON: {error}.") from error
        if not isinstance(values, dict):
            raise here.refused(
                f"it holds {_JSON_KINDS.get(type(values), 'a number')}, not an object.",
                next_step='write {"query": "…", "document": "…"}.',
            )
        if "\\ud" in line.lower():
            _refuse_half_letters(here, values)
        yield Row(values, lines.name, lines.number)


def _refuse_half_letters(row: Row, values: dict[str, Any]) -> None:
    for column, value in values.items():
        try:
            json.dumps([column, value], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise row.refused(
                "it holds half of a letter (a lone surrogate), which is no text.", column=column
            ) from error


def _csv(lines: Lines, layout: Layout) -> Rows:
    csv.field_size_limit(MOST_BYTES)
    records = _records(lines, layout.delimiter)
    head = next(records, None)
    if head is None:
        return Rows(lines.name, iter(()))
    columns = tuple(head[1])
    for column in columns:
        if columns.count(column) > 1:
            raise PairchainError(f"{lines.name}: two columns are named {column!r}.", next_step="rename one of them.")
    rows = Rows(lines.name, _rows_of_csv(records, columns, lines.name), columns=columns)
    _require(layout.needed, rows, hint=_delimiter_hint(columns))
    return rows


def _records(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each record that is not empty, and the line it begins in."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first = lines.number + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            is_open = "unexpected end" in str(error) or "field limit" in str(error)
            raise PairchainError(
                f"{lines.name}, line {first}: "
                + ("a quote that is opened there is never closed." if is_open else f"it is no csv: {error}."),
                next_step='a field with quotes is written "like ""this""".',
            ) from error
        if fields is None:
            return
        if fields:
            yield first, fields


def _rows_of_csv(records: Iterable[tuple[int, list[str]]], columns: Sequence[str], name: str) -> Iterator[Row]:
    for number, fields in records:
        row = Row(dict(zip(columns, fields, strict=False)), name, number)
        if len(fields) != len(columns):
            raise row.refused(
                f"it has {len(fields)} field{'' if len(fields) == 1 else 's'}, and the head names {len(columns)}.",
                next_step="put quotes around a field that holds the delimiter.",
            )
        yield row


def _delimiter_hint(columns: Sequence[str]) -> str:
    for letter, written in ((";", "';'"), ("\t", "tab"), ("|", "'|'")):
        if len(columns) == 1 and letter in columns[0]:
            return f" If its fields are separated by {written}, add --delimiter {written}."
    return ""


def _require(needed: Sequence[str], rows: Rows, hint: str = "") -> None:
    for column in needed:
        if column not in (rows.columns or ()):
            raise _missing(rows.name, column, rows.columns or (), hint)


def _missing(place: str, column: str, columns: Sequence[str], hint: str = "") -> PairchainError:
    listed = ", ".join(map(repr, columns)) or "none"
    return PairchainError(
        f"{place}: there is no column {column!r}{nearest(column, columns)}; its columns are {listed}.",
        next_step=f"name the column with --document-column, and that of queries with --query-column.{hint}",
    )


def _checked(rows: Iterable[Row], needed: Sequence[str]) -> Iterator[Row]:
    """Yield the rows, in each of which what is scored is a text, or what some models take: an object or a list."""
    for row in rows:
        for column in needed:
            if column not in row.values:
                raise _missing(row.place, column, tuple(row.values))
            value = row.values[column]
            if not isinstance(value, str | dict | list):
                kind = "empty" if value is None else f"{str(value)[:40]}, which is no text"
                raise row.refused(
                    f"it is {kind}.", column=column, next_step="write a text there, or leave the row out."
                )
        yield row


_OF_TEXT: dict[InputFormat, Callable[[Lines, Layout], Rows]] = {
    InputFormat.TXT: _texts,
    InputFormat.JSONL: _json_lines,
    InputFormat.CSV: _csv,
}
