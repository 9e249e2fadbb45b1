"""Reads the rows of a file one at a time; errors name the file, line and column."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from pairchain.authoring import nearest
from pairchain.errors import PairchainError
from pairchain_cli.rows import parquet
from pairchain_cli.rows.lines import MOST_BYTES, Lines
from pairchain_cli.rows.pipe import Pipe, is_pipe
from pairchain_cli.rows.rows import STREAM, InputFormat, Layout, Row, Rows

_ENDINGS = {**{f".{known}": known for known in InputFormat}, ".ndjson": InputFormat.JSONL}
_PROGRAMS = {".bz2": "bzcat", ".xz": "xzcat", ".zst": "zstdcat", ".gz": "zcat", ".zip": "unzip -p"}
# A document that is one word with such an end is a file that was not found, or that is not read.
_OTHER_FILES = {".arrow", ".docx", ".feather", ".html", ".json", ".md", ".pdf", ".xlsx", ".xml", ".yaml", ".yml"}
_JSON_KINDS = {list: "a list", str: "a string", type(None): "null", bool: "true or false"}


@contextmanager
def open_rows(path: str, layout: Layout) -> Iterator[Rows]:
    """Yield the rows of the file at ``path``, or of stdin for ``"-"``.

    Raises:
        PairchainError: The file cannot be read, or lacks a needed column. Iterating raises it for a bad row, unless
            ``layout`` keeps faults.
    """
    with _open(path) as file:
        name = "stdin" if path == STREAM else path
        found = layout.format or _format_of(path, file)
        if found == InputFormat.PARQUET:
            rows = parquet.read(file, name)
            _require(rows, layout)
        else:
            lines = Lines(file, name)
            rows = _rows_of(lines, layout, found)
            rows.size, rows.position = _size_of(file), lambda: lines.position
            if isinstance(file, gzip.GzipFile):
                rows.position = file.fileobj.tell  # type: ignore[union-attr]
        if isinstance(file, Pipe):
            rows.is_ready = file.has_arrived
        rows.rows = _checked(rows.rows, layout)
        yield rows


def looks_like_file(text: str) -> bool:
    """Return whether ``text`` names a file: one that exists, or, without spaces, one with the extension of a file.

    An image, a sound or a video is a document itself.
    """
    if (guess_type(text)[0] or "").startswith(("image/", "audio/", "video/")):
        return False
    if os.path.isfile(text):
        return bool(Path(text).suffix) or os.sep in text
    has_spaces = any(letter.isspace() for letter in text)
    return not has_spaces and _ending(text) in {*_ENDINGS, *_PROGRAMS, *_OTHER_FILES}


def is_terminal_input(path: str) -> bool:
    """Return whether ``path`` is stdin, and stdin is closed, or a terminal where a person would type the rows."""
    return path == STREAM and (sys.stdin is None or sys.stdin.isatty())


def _ending(path: str) -> str:
    return Path(path.lower().removesuffix(".gz")).suffix


@contextmanager
def _open(path: str) -> Iterator[Any]:
    if path == STREAM:
        # a program that calls this one in its own process may replace stdin with an object that has no descriptor
        is_real = sys.stdin is sys.__stdin__
        yield Pipe(sys.stdin.fileno()) if is_real and is_pipe(sys.stdin.fileno()) else sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - an error in the block is not an error of opening
    except OSError as error:
        raise PairchainError(f"cannot read {path!r}: {error.strerror}.", next_step="check the file name.") from error
    with file:
        if is_pipe(file.fileno()):
            yield Pipe(file.fileno())
        elif path.lower().endswith(".gz"):
            yield gzip.GzipFile(fileobj=file)
        else:
            yield file


def _format_of(path: str, file: Any) -> InputFormat:
    # a shell's pipe, as in <(zcat pairs.jsonl.gz), has no extension either
    if path == STREAM or isinstance(file, Pipe):
        start = file.peek(4).lstrip(b"\xef\xbb\xbf \t\r\n")
        if start.startswith(b"PAR1"):
            return InputFormat.PARQUET
        return InputFormat.JSONL if start.startswith(b"{") else InputFormat.TXT
    if (found := _ENDINGS.get(_ending(path))) is not None:
        return found
    if (program := _PROGRAMS.get(Path(path).suffix.lower())) is not None:
        step = f"pipe its content in: {program} {path} | pairchain … - --input-format {'|'.join(InputFormat)}"
    else:
        step = f"add --input-format, or rename it to end in {', '.join(_ENDINGS)}."
    raise PairchainError(f"cannot tell the format of {path!r} from its name.", next_step=step)


def _size_of(file: Any) -> int | None:
    """Return the size of a file on disk in bytes; None for a pipe."""
    try:
        return os.fstat(file.fileno()).st_size if file.seekable() else None
    except (OSError, io.UnsupportedOperation):
        return None


def _rows_of(lines: Lines, layout: Layout, input_format: InputFormat) -> Rows:
    if input_format == InputFormat.TXT:
        return Rows(lines.name, _txt_rows(lines, layout.needed), columns=layout.needed)
    if input_format == InputFormat.JSONL:
        return Rows(lines.name, _jsonl_rows(lines, layout))
    return _csv(lines, layout, layout.delimiter or ("\t" if input_format == InputFormat.TSV else ","))


def _txt_rows(lines: Lines, needed: tuple[str, ...]) -> Iterator[Row]:
    for line, fault in lines.with_faults():
        text = line.rstrip("\r\n")
        if not text.strip() and fault is None:
            continue
        # if there is only one column, a tab is part of the text
        fields = text.split("\t") if len(needed) > 1 else [text]
        row = Row(dict(zip(needed, fields, strict=False)), lines.name, lines.number, fault=fault)
        if fault is None and len(fields) != len(needed):
            what = f"found {_count(len(fields), 'tab-separated field')}, expected {len(needed)}."
            step = f"write {', a tab, '.join(needed)} on each line; for other formats add --input-format."
            row = replace(row, fault=row.refused(what, next_step=step))
        yield row


def _jsonl_rows(lines: Lines, layout: Layout) -> Iterator[Row]:
    for line, fault in lines.with_faults():
        place = Row({}, lines.name, lines.number, fault=fault)
        if fault is not None:
            yield place
        elif text := line.strip():
            try:
                values = _json_object(text, len(line) - len(line.lstrip()), place, layout)
                yield Row(values, lines.name, lines.number)
            except PairchainError as error:
                yield replace(place, fault=error)


def _json_object(text: str, indentation: int, place: Row, layout: Layout) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise place.refused(
            f"not valid JSON: {error.msg} at character {indentation + error.pos + 1}.",
            next_step=f"write one object per line, such as {layout.example}; for other formats add --input-format.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise place.refused(f"cannot be read as JSON: {error}.") from error
    if not isinstance(values, dict):
        raise place.refused(
            f"expected an object, found {_JSON_KINDS.get(type(values), 'a number')}.",
            next_step=f"write {layout.example}.",
        )
    if "\\ud" in text.lower():
        _refuse_surrogates(place, values)
    return values


def _refuse_surrogates(row: Row, values: dict[str, Any]) -> None:
    for column, value in values.items():
        try:
            json.dumps([column, value], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise row.refused("contains an unpaired surrogate (invalid Unicode).", column=column) from error


def _csv(lines: Lines, layout: Layout, delimiter: str) -> Rows:
    csv.field_size_limit(MOST_BYTES)
    records = _records(lines, delimiter)
    header = next(records, None)
    if header is None:
        return Rows(lines.name, iter(()))
    columns = tuple(header[1])
    for column in columns:
        if columns.count(column) > 1:
            raise PairchainError(f"{lines.name}: two columns are named {column!r}.", next_step="rename one of them.")
    rows = Rows(lines.name, _csv_rows(records, columns, lines.name), columns=columns)
    _require(rows, layout, hint=_delimiter_hint(columns))
    return rows


def _records(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the fields of each record that is not empty."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first = lines.number + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            is_open = "unexpected end" in str(error) or "field limit" in str(error)
            fault = "a quote opened on this line is never closed" if is_open else f"not valid csv: {error}"
            raise PairchainError(
                f"{lines.name}, line {first}: {fault}.", next_step='write a field with quotes "like ""this""".'
            ) from error
        if fields is None:
            return
        if fields:
            yield first, fields


def _csv_rows(records: Iterable[tuple[int, list[str]]], columns: Sequence[str], name: str) -> Iterator[Row]:
    for number, fields in records:
        row = Row(dict(zip(columns, fields, strict=False)), name, number)
        if len(fields) != len(columns):
            missing = ", ".join(map(repr, columns[len(fields) :]))
            row = replace(
                row,
                fault=row.refused(
                    f"found {_count(len(fields), 'field')}, but the header has {len(columns)}.",
                    next_step=f"write {missing} too, as an empty field if there is no value."
                    if missing
                    else "put quotes around a field that contains the delimiter.",
                ),
            )
        yield row


def _delimiter_hint(columns: Sequence[str]) -> str:
    for letter, written in ((";", "';'"), ("\t", "tab"), ("|", "'|'"), (",", "','")):
        if len(columns) == 1 and letter in columns[0]:
            return f" If {written} separates its fields, add --delimiter {written}."
    return ""


def _require(rows: Rows, layout: Layout, hint: str = "") -> None:
    for column in layout.needed:
        if column not in (rows.columns or ()):
            raise _missing(rows.name, column, rows.columns or (), layout, hint)


def _missing(place: str, column: str, columns: Sequence[str], layout: Layout, hint: str = "") -> PairchainError:
    listed = ", ".join(map(repr, columns)) or "none"
    return PairchainError(
        f"{place}: there is no column {column!r}{nearest(column, columns)}; its columns are {listed}.",
        next_step=f"name the columns with {layout.column_options}.{hint}",
    )


def _checked(rows: Iterable[Row], layout: Layout) -> Iterator[Row]:
    """Yield the rows after checking that every scored column is a text, an object or a list."""
    for row in rows:
        fault = row.fault or _fault(row, layout)
        if fault is not None and not layout.keeps_faults:
            raise fault
        yield row if fault is None else replace(row, fault=fault)


def _fault(row: Row, layout: Layout) -> PairchainError | None:
    for column in layout.needed:
        if column not in row.values:
            return _missing(row.place, column, tuple(row.values), layout)
        value = row.values[column]
        if not isinstance(value, str | dict | list):
            kind = "is empty" if value is None else f"is {str(value)[:40]} ({type(value).__name__}), not a text"
            return row.refused(f"{kind}.", column=column, next_step="write a text, or remove the row.")
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
