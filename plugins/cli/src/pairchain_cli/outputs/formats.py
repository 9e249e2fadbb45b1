"""The formats of an output, and encoders of rows and scores as jsonl and csv."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from pairchain.errors import PairchainError
from pairchain_cli.rows.rows import STREAM, Row, Score


class OutputFormat(StrEnum):
    """The format of an output."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


def choose_format(output: str, wanted: OutputFormat | None) -> OutputFormat:
    """Return ``wanted``, or the format of a file's extension; for stdout, a table on a terminal and jsonl in a pipe.

    Raises:
        PairchainError: The name has no known extension, or the format does not fit the output.
    """
    is_stdout = output == STREAM
    is_terminal = is_stdout and sys.stdout.isatty()
    if wanted is None and is_stdout:
        return OutputFormat.TABLE if is_terminal else OutputFormat.JSONL
    ending = Path(output).suffix.lower().removeprefix(".")
    found = wanted or {"ndjson": OutputFormat.JSONL}.get(ending) or OutputFormat._value2member_map_.get(ending)
    if not isinstance(found, OutputFormat):
        raise PairchainError(
            f"cannot tell the format of {output!r} from its name.",
            next_step="end it in .jsonl, .csv, .tsv or .parquet, or add --format."
            if ending != "gz"
            else "compress the output in a pipe: pairchain … | gzip > FILE",
        )
    if found == OutputFormat.TABLE and not is_stdout:
        raise PairchainError("a table is for a terminal, not for a file.", next_step="write jsonl, csv or parquet.")
    if found == OutputFormat.PARQUET and is_terminal:
        raise PairchainError("parquet cannot be read on a terminal.", next_step="add --output FILE.")
    return found


class Encoder:
    """Turns rows and scores into bytes of a text file.

    Args:
        score_column: The name of the score.
    """

    def __init__(self, score_column: str) -> None:
        self._score_column = score_column

    def encode(self, rows: Sequence[Row], scores: Sequence[Score]) -> bytes:
        """Return the lines for some rows.

        Raises:
            PairchainError: A row does not fit.
        """
        raise NotImplementedError

    def encode_empty(self, columns: Sequence[str]) -> bytes:
        """Return the content of a file without rows, for an input with these columns."""
        return b""

    def resume(self, lines: Iterable[bytes]) -> None:
        """Take from the lines of an unfinished file what the next lines depend on."""


class JsonLines(Encoder):
    """One JSON object per line: the row and its score."""

    def encode(self, rows: Sequence[Row], scores: Sequence[Score]) -> bytes:
        return b"".join(map(self._line, rows, scores))

    def _line(self, row: Row, score: Score) -> bytes:
        values = {column: _value(column, value, row) for column, value in row.written.items()}
        return json.dumps({**values, self._score_column: score}, ensure_ascii=False, default=_as_text).encode() + b"\n"


class Csv(Encoder):
    """Separated fields under a header: the row, and a column for each score."""

    _header: Sequence[str] = ()

    def __init__(self, score_column: str, delimiter: str) -> None:
        super().__init__(score_column)
        self._delimiter = delimiter

    def encode(self, rows: Sequence[Row], scores: Sequence[Score]) -> bytes:
        names = _score_names(self._score_column, scores[0])
        records: list[Sequence[Any]] = []
        if not self._header:
            self._header = [*dict.fromkeys(column for row in rows for column in row.written), *names]
            records.append(self._header)
        columns = self._header[: -len(names)]
        known = set(columns)
        for row, score in zip(rows, scores, strict=True):
            values = row.written
            for column in values.keys() - known:
                raise row.refused(
                    "earlier rows have no such column, and the csv header is already written.",
                    column=column,
                    next_step="write jsonl, which needs no header.",
                )
            fields = [_field(_value(column, values.get(column), row)) for column in columns]
            records.append([*fields, *(score if isinstance(score, list) else [score])])
        return self._lines(records)

    def encode_empty(self, columns: Sequence[str]) -> bytes:
        return self._lines([[*columns, self._score_column]])

    def resume(self, lines: Iterable[bytes]) -> None:
        self._header = next(csv.reader((line.decode() for line in lines), delimiter=self._delimiter))

    def _lines(self, records: Iterable[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerows(records)
        return text.getvalue().encode()


def encoder_for(output_format: OutputFormat, score_column: str) -> Encoder:
    """Return the encoder for jsonl, csv or tsv."""
    if output_format == OutputFormat.JSONL:
        return JsonLines(score_column)
    return Csv(score_column, "\t" if output_format == OutputFormat.TSV else ",")


def refuse_taken(rows: Sequence[Row], score_column: str, score: Score) -> None:
    """Raise a PairchainError if a row already has a column that the command adds."""
    names = {score_column, *_score_names(score_column, score)}
    for row in rows:
        if taken := (names | row.added.keys()) & row.values.keys():
            column = min(taken)
            step = "add --score-column NAME." if column in names else "choose another name for one of them."
            raise row.refused("the input already has this column.", column=column, next_step=step)


def _field(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_as_text)
    return value if isinstance(value, str | int | float | None) else _as_text(value)


def _value(column: str, value: Any, row: Row) -> Any:
    """Return ``value``; refuse bytes, which text formats cannot contain."""
    if isinstance(value, bytes):
        raise row.refused("contains bytes, which only parquet can hold.", column=column, next_step="write parquet.")
    return value


def _as_text(value: Any) -> str:
    # dates and times
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _score_names(score_column: str, score: Score) -> list[str]:
    if not isinstance(score, list):
        return [score_column]
    return [f"{score_column}_{place}" for place in range(len(score))]
