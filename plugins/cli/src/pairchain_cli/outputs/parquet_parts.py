"""Writes a small parquet file for each window of rows, and joins these files at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pairchain.errors import PairchainError
from pairchain_cli.outputs.own_files import open_new
from pairchain_cli.rows.parquet import first_line, require_pyarrow
from pairchain_cli.rows.rows import Row, Score

_GROUP_ROWS = 2**16
_GROUP_BYTES = 2**26


class ParquetParts:
    """A folder with a small parquet file for each window of rows.

    Args:
        folder: The folder.
        score_column: The name of the score's column.
        schema: The Arrow schema of the input; None to infer one from the values of each part.
    """

    def __init__(self, folder: Path, score_column: str, schema: Any = None) -> None:
        self._arrow = require_pyarrow()
        self._folder = folder
        self._score_column = score_column
        self._types = {} if schema is None else {field.name: field.type for field in schema}
        self._empty = schema or self._arrow.schema([])
        self.joined = folder / "joined"

    def write(self, number: int, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Write part ``number``, from 0, or replace the one that an interrupted run left behind.

        Raises:
            PairchainError: A column mixes values of different types.
        """
        aside = self._folder / "writing"
        with os.fdopen(open_new(aside), "wb") as file:
            self._arrow.parquet.write_table(self._table(rows, list(scores)), file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.path(number))

    def count_rows(self, path: Path) -> int:
        """Return the number of rows in a parquet file.

        Raises:
            PairchainError: The file is missing or incomplete.
        """
        try:
            return int(self._arrow.parquet.read_metadata(path).num_rows)
        except (self._arrow.ArrowException, OSError) as error:
            raise PairchainError(f"{path} was changed by another program: {first_line(error)}.") from error

    def join(self, count: int) -> Path:
        """Write the first ``count`` parts to `joined`, a few at a time, and return it.

        Raises:
            PairchainError: A column has different types in different parts.
        """
        arrow = self._arrow
        schemas = [arrow.parquet.read_schema(self.path(number)) for number in range(count)]
        try:
            schema = arrow.unify_schemas(schemas or [self._empty], promote_options="permissive")
        except arrow.ArrowException as error:
            raise _mixed_types("the rows do not fit into one parquet file", error) from error
        with os.fdopen(open_new(self.joined), "wb") as file, arrow.parquet.ParquetWriter(file, schema) as writer:
            for group in self._groups(count, schema):
                writer.write_table(group)
        return self.joined

    def path(self, number: int) -> Path:
        """Return the file of a part."""
        return self._folder / f"{number:06}.parquet"

    def _groups(self, count: int, schema: Any) -> Iterator[Any]:
        """Yield tables of many parts, large enough for a row group and small enough for memory."""
        arrow = self._arrow
        waiting: list[Any] = []
        for number in range(count):
            part = arrow.parquet.read_table(self.path(number))
            padded = arrow.concat_tables([schema.empty_table(), part], promote_options="permissive")
            waiting.append(padded.select(schema.names).cast(schema))
            rows, size = sum(len(table) for table in waiting), sum(table.nbytes for table in waiting)
            if rows >= _GROUP_ROWS or size >= _GROUP_BYTES or number == count - 1:
                yield arrow.concat_tables(waiting).combine_chunks()
                waiting = []

    def _table(self, rows: Sequence[Row], scores: list[Score]) -> Any:
        arrow = self._arrow
        table: dict[str, Any] = {}
        written = [row.written for row in rows]
        for column in dict.fromkeys(column for values in written for column in values):
            try:
                table[column] = arrow.array([values.get(column) for values in written], type=self._types.get(column))
            except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise _mixed_types(f"column {column!r} does not fit into parquet", error) from error
        is_several = bool(scores) and isinstance(scores[0], list)
        table[self._score_column] = arrow.array(scores, arrow.list_(arrow.float32()) if is_several else arrow.float32())
        return arrow.table(table)


def _mixed_types(what: str, error: Exception) -> PairchainError:
    return PairchainError(
        f"{what}: {first_line(error)}.", next_step="write jsonl, or give each column of the input a single type."
    )
