"""A row, the rows of one input, and the formats that they are read from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pairchain.errors import PairchainError

# The name of stdin as an input, and of stdout as an output.
STREAM = "-"

# A float32; a list of them if the model gives several scores; None for a NaN or infinite score.
Score = float | list[float | None] | None


class InputFormat(StrEnum):
    """The format of an input."""

    TXT = "txt"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the input.

    Attributes:
        values: Its values, by column.
        source: The name of the input.
        number: The line that it starts on, or its number in a format without lines, from 1.
        unit: ``"line"`` or ``"row"``.
    """

    values: dict[str, Any]
    source: str
    number: int
    unit: str = "line"

    @property
    def place(self) -> str:
        """The row's place, for an error message."""
        return f"{self.source}, {self.unit} {self.number}"

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
    """The format of a file and its columns.

    Attributes:
        needed: The columns that are scored.
        format: The file's format; None to infer it from the file's name or first bytes.
        delimiter: The field separator of a csv file.
    """

    needed: tuple[str, ...]
    format: InputFormat | None = None
    delimiter: str = ","
