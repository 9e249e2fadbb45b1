"""Parquet files, for which pyarrow is needed: rows read in batches, and written as parts that are joined at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pairchain.errors import PairchainError
from pairchain_cli.outputs.own_files import open_new
from pairchain_cli.rows.reading import Row, Rows

_ROWS_READ = 1024
_ROWS_IN_A_GROUP = 2**16
_BYTES_IN_A_GROUP = 2**26


def need() -> Any:
    """Return pyarrow.

    Raises:
        PairchainError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PairchainError(
            "parquet files need pyarrow, which is not installed.",
            next_step="pip install 'pairchain-cli[parquet]', or use jsonl or csv.",
        ) from error
    return pyarrow


def read(file: BinaryIO, name: str) -> Rows:
    """Return the rows of a parquet file.

    Raises:
        PairchainError: It is none, or pyarrow is not installed.
    """
    arrow = need()
    if not file.seekable():
        # its table of contents is at its end
        file = _on_disk(file)
    try:
        opened = arrow.parquet.ParquetFile(file)
    except (arrow.ArrowException, OSError) as error:
        raise PairchainError(f"{name} cannot be read as parquet: {_first_line(error)}.") from error
    counter = _Counter()
    return Rows(
        name,
        _rows(opened, name, counter),
        columns=tuple(opened.schema_arrow.names),
        size=opened.metadata.num_rows,
        position=lambda: counter.read,
        schema=opened.schema_arrow,
    )


class _Counter:
    read = 0


def _rows(opened: Any, name: str, counter: _Counter) -> Iterator[Row]:
    arrow = need()
    try:
        for batch in opened.iter_batches(batch_size=_ROWS_READ):
            for values in batch.to_pylist():
                counter.read += 1
                yield Row(values, name, counter.read, unit="row")
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise PairchainError(
            f"{name} cannot be read after row {counter.read}: {_first_line(error)}.",
            next_step="the file is damaged, or holds what Python has no value for; write it again.",
        ) from error


def _on_disk(file: BinaryIO) -> BinaryIO:
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it goes with the last reference
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


class Parts:
    """Rows kept as one small parquet file for each window, in a folder of their own, until they are joined.

    Args:
        folder: The folder.
        schema: The Arrow schema of the input's rows; None where they have none, and each part is what its values are.
    """

    def __init__(self, folder: Path, schema: Any = None) -> None:
        self._arrow = need()
        self._folder = folder
        self._schema = schema

    def write(self, number: int, values: Sequence[dict[str, Any]], scores: dict[str, list[Any]]) -> None:
        """Write one part; one that is there already, left by a run that was cut off, is replaced.

        Args:
            number: Which part it is, from 0.
            values: The rows.
            scores: The columns that follow, by name: a number for each row, or a list of them.

        Raises:
            PairchainError: A column holds values of different kinds.
        """
        aside = self._folder / "writing"
        with os.fdopen(open_new(aside), "wb") as file:
            self._arrow.parquet.write_table(self._table(values, scores), file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path(number))

    def rows(self, number: int) -> int:
        """Return how many rows a part holds.

        Raises:
            PairchainError: It is not there, or not whole.
        """
        return self.rows_of(self._path(number))

    def rows_of(self, path: Path) -> int:
        """Return how many rows a parquet file holds; see `rows`."""
        try:
            return int(self._arrow.parquet.read_metadata(path).num_rows)
        except (self._arrow.ArrowException, OSError) as error:
            raise PairchainError(f"{path} is not as it was left: {_first_line(error)}.") from error

    def join(self, count: int, path: Path) -> None:
        """Write the first ``count`` parts as one file, a few at a time.

        Raises:
            PairchainError: A column holds values of one kind in one part, and of another kind in another.
        """
        arrow = self._arrow
        schemas = [arrow.parquet.read_schema(self._path(number)) for number in range(count)]
        if not schemas:
            schemas = [self._schema or arrow.schema([])]
        try:
            schema = arrow.unify_schemas(schemas, promote_options="permissive")
        except arrow.ArrowException as error:
            raise PairchainError(
                f"the rows do not fit into one parquet file: {_first_line(error)}.",
                next_step="write jsonl, or make each column one kind of value in the input.",
            ) from error
        with os.fdopen(open_new(path), "wb") as file, arrow.parquet.ParquetWriter(file, schema) as writer:
            for group in self._groups(count, schema):
                writer.write_table(group)

    def _groups(self, count: int, schema: Any) -> Iterator[Any]:
        """Yield tables of as many rows as are good to read at once."""
        waiting: list[Any] = []
        for number in range(count):
            part = self._arrow.parquet.read_table(self._path(number))
            whole = self._arrow.concat_tables([schema.empty_table(), part], promote_options="permissive")
            waiting.append(whole.select(schema.names).cast(schema))
            rows, size = sum(len(table) for table in waiting), sum(table.nbytes for table in waiting)
            if rows >= _ROWS_IN_A_GROUP or size >= _BYTES_IN_A_GROUP:
                yield self._arrow.concat_tables(waiting).combine_chunks()
                waiting = []
        if waiting:
            yield self._arrow.concat_tables(waiting).combine_chunks()

    def _table(self, values: Sequence[dict[str, Any]], scores: dict[str, list[Any]]) -> Any:
        arrow = self._arrow
        columns = list(dict.fromkeys(column for row in values for column in row))
        types = {} if self._schema is None else {field.name: field.type for field in self._schema}
        table: dict[str, Any] = {}
        for column in columns:
            try:
                table[column] = arrow.array([row.get(column) for row in values], type=types.get(column))
            except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise PairchainError(
                    f"column {column!r} does not fit into parquet: {_first_line(error)}.",
                    next_step="write jsonl, or make the column one kind of value in the input.",
                ) from error
        for name, column_scores in scores.items():
            is_several = bool(column_scores) and isinstance(column_scores[0], list)
            table[name] = arrow.array(column_scores, arrow.list_(arrow.float32()) if is_several else arrow.float32())
        return arrow.table(table)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.parquet"
