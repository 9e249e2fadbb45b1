"""A row, the rows of one input, and the formats that they are read from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pairchain.errors import PairchainError

# The name of stdin as an input, and of stdout as an output.
STREAM = "-"

# The column of the reasons why rows were not scored.
ERROR = "error"

# A float32; a list of them if the model gives several scores; None for a NaN or infinite score.
Score = float | list[float | None] | None


class InputFormat(StrEnum):
    """The format of an input."""

    TXT = "txt"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the input.

    Attributes:
        values: Its values, by column.
        source: The name of the input.
        number: The line that it starts on, or its number in a format without lines, from 1.
        unit: ``"line"`` or ``"row"``.
        fault: Why it cannot be scored; None if nothing is known to be wrong with it.
        added: The columns that the command adds, besides the score.
    """

    values: dict[str, Any]
    source: str
    number: int
    unit: str = "line"
    fault: PairchainError | None = None
    added: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The row's place, for an error message."""
        return f"{self.source}, {self.unit} {self.number}"

    @property
    def written(self) -> dict[str, Any]:
        """The values to write, except the score."""
        return {**self.values, **self.added}

    def refused(self, what: str, *, column: str = "", next_step: str = "") -> PairchainError:
        """Return an error about this row, or about one of its columns."""
        place = f"{self.place}, column {column!r}" if column else self.place
        return PairchainError(f"{place}: {what}", next_step=next_step)


@dataclass
class Rows:
    """The rows of one input.

    Attributes:
        name: The input's name in messages.
        rows: The rows; they can be read once.
        columns: The columns that the header names; None if each row names its own.
        size: The length of the input, in the units of `position`; None if unknown.
        position: Returns how much of the input has been read.
        is_ready: Returns whether the next row can be read without waiting for another program to write it.
        schema: The Arrow schema of a parquet file, else None.
    """

    name: str
    rows: Iterator[Row]
    columns: tuple[str, ...] | None = None
    size: int | None = None
    position: Callable[[], int] = lambda: 0
    schema: Any = None
    is_ready: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Layout:
    """The format of a file and its columns.

    Attributes:
        needed: The columns that are scored.
        format: The file's format; None to infer it from the file's name or first bytes.
        delimiter: The field separator of a csv file; None for a comma, or a tab in a tsv file.
        keeps_faults: Whether a row that cannot be read is a row with a fault, instead of an error.
    """

    needed: tuple[str, ...]
    format: InputFormat | None = None
    delimiter: str | None = None
    keeps_faults: bool = False

    @property
    def column_options(self) -> str:
        """The options that name the needed columns."""
        return " and ".join(("--query-column", "--document-column")[-len(self.needed) :])

    @property
    def example(self) -> str:
        """A row in JSON."""
        return json.dumps(dict.fromkeys(self.needed, "…"), ensure_ascii=False)
