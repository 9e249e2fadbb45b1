"""Reads parquet files in batches, with pyarrow."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from pairchain.errors import PairchainError
from pairchain_cli.rows.rows import Row, Rows

_BATCH_ROWS = 1024


def require_pyarrow() -> Any:
    """Import pyarrow.

    Raises:
        PairchainError: pyarrow is not installed.
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
        PairchainError: The file is not a parquet file, or pyarrow is not installed.
    """
    arrow = require_pyarrow()
    if not file.seekable():
        file = _spooled(file)
    try:
        opened = arrow.parquet.ParquetFile(file)
    except (arrow.ArrowException, OSError) as error:
        raise PairchainError(f"{name} cannot be read as parquet: {first_line(error)}.") from error
    counter = _Counter()
    return Rows(
        name,
        _rows(opened, name, counter),
        columns=tuple(opened.schema_arrow.names),
        size=opened.metadata.num_rows,
        position=lambda: counter.read,
        schema=opened.schema_arrow,
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, without a full stop."""
    return str(error).partition("\n")[0].rstrip(".")


class _Counter:
    read = 0


def _rows(opened: Any, name: str, counter: _Counter) -> Iterator[Row]:
    arrow = require_pyarrow()
    try:
        for batch in opened.iter_batches(batch_size=_BATCH_ROWS):
            for values in batch.to_pylist():
                counter.read += 1
                yield Row(values, name, counter.read, unit="row")
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise PairchainError(
            f"{name} cannot be read after row {counter.read}: {first_line(error)}.",
            next_step="write the file again: it is damaged, or holds values that Python cannot represent.",
        ) from error


def _spooled(file: BinaryIO) -> BinaryIO:
    """Copy a stream to disk, because the index of a parquet file is at its end."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - deleted with the last reference
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy
