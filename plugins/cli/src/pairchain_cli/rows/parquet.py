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
        # the index of a parquet file is at its end
        stream, file = file, tempfile.TemporaryFile()  # noqa: SIM115 - deleted with the last reference
        shutil.copyfileobj(stream, file)
        file.seek(0)
    number = 0

    def rows() -> Iterator[Row]:
        nonlocal number
        try:
            for batch in opened.iter_batches(batch_size=_BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(values, name, number, unit="row")
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise PairchainError(
                f"{name} cannot be read after row {number}: {first_line(error)}.",
                next_step="write the file again: it is damaged, or holds values that Python cannot represent.",
            ) from error

    try:
        opened = arrow.parquet.ParquetFile(file)
    except (arrow.ArrowException, OSError) as error:
        raise PairchainError(f"{name} cannot be read as parquet: {first_line(error)}.") from error
    schema = opened.schema_arrow
    return Rows(name, rows(), tuple(schema.names), opened.metadata.num_rows, lambda: number, schema)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, without a full stop."""
    return str(error).partition("\n")[0].rstrip(".")
