"""Writes a small parquet file for each window of rows, and joins these files at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pairchain.errors import PairchainError
from pairchain_cli.outputs.own_files import open_new
from pairchain_cli.rows.parquet import first_line, require_pyarrow

_GROUP_ROWS = 2**16
_GROUP_BYTES = 2**26


class ParquetParts:
    """A folder with a small parquet file for each window of rows.

    Args:
        folder: The folder.
        schema: The Arrow schema of the input; None to infer one from the values of each part.
    """

    def __init__(self, folder: Path, schema: Any = None) -> None:
        self._arrow = require_pyarrow()
        self._folder = folder
        self._schema = schema

    def write(self, number: int, values: Sequence[dict[str, Any]], scores: dict[str, list[Any]]) -> None:
        """Write one part, or replace the one that an interrupted run left behind.

        Args:
            number: The part's number, from 0.
            values: The rows.
            scores: The columns to add, by name, with a number or a list of numbers for each row.

        Raises:
            PairchainError: A column mixes values of different types.
        """
        aside = self._folder / "writing"
        with os.fdopen(open_new(aside), "wb") as file:
            self._arrow.parquet.write_table(self._table(values, scores), file)
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

    def join(self, count: int, path: Path) -> None:
        """Write the first ``count`` parts as one file, a few at a time.

        Raises:
            PairchainError: A column has different types in different parts.
        """
        arrow = self._arrow
        schemas = [arrow.parquet.read_schema(self.path(number)) for number in range(count)]
        if not schemas:
            schemas = [self._schema or arrow.schema([])]
        try:
            schema = arrow.unify_schemas(schemas, promote_options="permissive")
        except arrow.ArrowException as error:
            raise _mixed_types("the rows do not fit into one parquet file", error) from error
        with os.fdopen(open_new(path), "wb") as file, arrow.parquet.ParquetWriter(file, schema) as writer:
            for group in self._groups(count, schema):
                writer.write_table(group)

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

    def _table(self, values: Sequence[dict[str, Any]], scores: dict[str, list[Any]]) -> Any:
        arrow = self._arrow
        columns = list(dict.fromkeys(column for row in values for column in row))
        types = {} if self._schema is None else {field.name: field.type for field in self._schema}
        table: dict[str, Any] = {}
        for column in columns:
            try:
                table[column] = arrow.array([row.get(column) for row in values], type=types.get(column))
            except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise _mixed_types(f"column {column!r} does not fit into parquet", error) from error
        for name, column_scores in scores.items():
            is_several = bool(column_scores) and isinstance(column_scores[0], list)
            table[name] = arrow.array(column_scores, arrow.list_(arrow.float32()) if is_several else arrow.float32())
        return arrow.table(table)


def _mixed_types(what: str, error: Exception) -> PairchainError:
    return PairchainError(
        f"{what}: {first_line(error)}.", next_step="write jsonl, or give each column of the input a single type."
    )
