"""Opens the output of a command: a table on a terminal, a stream, or a file that a later run can complete."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pairchain.authoring import refuse_planted_link, write_aside
from pairchain.errors import PairchainError
from pairchain_cli.outputs.formats import Encoder, OutputFormat, encoder_for
from pairchain_cli.outputs.parquet_parts import ParquetParts
from pairchain_cli.outputs.partial import PartialOutput, PartialParquet, PartialText
from pairchain_cli.outputs.resumable import ResumableOutput
from pairchain_cli.outputs.streams import is_stream, open_stream
from pairchain_cli.outputs.table import Table
from pairchain_cli.rows.rows import Row, Score
from pairchain_cli.terminal import lines

_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG}


class Output:
    """Takes rows and scores, a window at a time."""

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Write some rows."""
        raise NotImplementedError

    def finish(self, columns: Sequence[str]) -> None:
        """Write the rest; an output without rows gets the input's ``columns``."""


class _Printed(Output):
    def __init__(self, table: Table) -> None:
        self._table = table

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        self._table.print(rows, scores)


class _Text(Output):
    def __init__(self, encoder: Encoder, file: BinaryIO) -> None:
        self._encoder = encoder
        self._file = file
        self._is_empty = True

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        self._is_empty = False
        self._file.write(self._encoder.encode(rows, scores))
        self._file.flush()

    def finish(self, columns: Sequence[str]) -> None:
        if self._is_empty:
            self._file.write(self._encoder.encode_empty(columns))


class _Parquet(Output):
    """Keeps the rows on disk until the last one, because a parquet file cannot be written to a pipe bit by bit."""

    def __init__(self, parts: ParquetParts, file: BinaryIO) -> None:
        self._parts = parts
        self._file = file
        self._count = 0

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        self._parts.write(self._count, rows, scores)
        self._count += 1

    def finish(self, columns: Sequence[str]) -> None:
        with self._parts.join(self._count).open("rb") as joined:
            shutil.copyfileobj(joined, self._file)


@contextmanager
def open_output(
    output: str, output_format: OutputFormat, score_column: str, schema: Any, table: Table
) -> Iterator[Output]:
    """Yield an output that one run writes: a stream, or a file that is created only once complete.

    Args:
        output: A file's name, or ``"-"``.
        output_format: Its format.
        score_column: The name of the score's column.
        schema: The Arrow schema of the input, if it has one.
        table: Prints the rows if the format is a table.
    """
    if output_format == OutputFormat.TABLE:
        yield _Printed(table)
        return
    with _open_file(output) as file:
        if output_format == OutputFormat.PARQUET:
            with tempfile.TemporaryDirectory(prefix="pairchain-") as folder:
                yield _Parquet(ParquetParts(Path(folder), score_column, schema), file)
        else:
            yield _Text(encoder_for(output_format, score_column), file)


@contextmanager
def open_resumable(
    output: str,
    output_format: OutputFormat,
    score_column: str,
    schema: Any,
    options: Mapping[str, Any],
    *,
    resumes: bool,
) -> Iterator[ResumableOutput]:
    """Yield an output file that a later run can complete if this one is killed.

    Args:
        output, output_format, score_column, schema: As for `open_output`.
        options: The options that the scores depend on, by name.
        resumes: Whether to continue the output of an earlier run.

    Raises:
        PairchainError: The folder does not exist, or the output cannot be continued.
    """
    path = _resolve(output)
    part: PartialOutput
    if output_format == OutputFormat.PARQUET:
        part = PartialParquet(path, score_column, schema)
    else:
        part = PartialText(path, encoder_for(output_format, score_column))
    with _resumable(output, ResumableOutput(path, part, options, resumes=resumes)) as resumable:
        yield resumable


@contextmanager
def open_encoded(
    output: str, encoder: Encoder, options: Mapping[str, Any], *, resumes: bool = False
) -> Iterator[Output | ResumableOutput]:
    """Yield an output in a format of a plugin: a stream, or a file that a later run can complete.

    Args:
        output: A file's name, or ``"-"``.
        encoder: Turns rows and scores into the file's lines.
        options: The options that the file depends on, by name.
        resumes: Whether to continue the output of an earlier run.

    Raises:
        PairchainError: The folder does not exist, or the output cannot be continued.
    """
    if is_stream(output):
        with _open_file(output) as file:
            yield _Text(encoder, file)
        return
    path = _resolve(output)
    part = PartialText(path, encoder)
    with _resumable(output, ResumableOutput(path, part, options, resumes=resumes)) as resumable:
        yield resumable


@contextmanager
def _resumable(output: str, resumable: ResumableOutput) -> Iterator[ResumableOutput]:
    with _naming_the_file(output):
        try:
            yield resumable
        except KeyboardInterrupt:
            if resumable.rows:
                lines.note(f"Kept {resumable.rows:,} scored rows; add --resume to the same command to continue.")
            raise
        finally:
            resumable.release()


@contextmanager
def _naming_the_file(output: str) -> Iterator[None]:
    """Turn an OSError of a full or protected disk into an error that names the file."""
    try:
        yield
    except PairchainError:
        raise
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise PairchainError(
            f"cannot write {str(error.filename or output)!r}: {error.strerror}.",
            next_step="free some space, or choose a folder that you may write to.",
        ) from error


@contextmanager
def _open_file(output: str) -> Iterator[BinaryIO]:
    with _naming_the_file(output):
        if is_stream(output):
            with open_stream(output) as stream:
                yield stream
        else:
            with write_aside(_resolve(output)) as aside, aside.open("wb") as file:
                yield file


def _resolve(output: str) -> Path:
    """Return the file to write, following this user's own links; refuse a folder or a missing parent."""
    refuse_planted_link(Path(output))
    path = Path(output).resolve()
    if path.is_dir() or not path.parent.is_dir():
        reason = "it is a folder" if path.is_dir() else f"the folder {path.parent} does not exist"
        raise PairchainError(f"cannot write {str(path)!r}: {reason}.", next_step="name a file in a folder that exists.")
    return path
