"""Where rows and scores go: to a person, down a pipe, or into a file that can be gone on with."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pairchain.authoring import refuse_planted_link, write_aside
from pairchain.errors import PairchainError
from pairchain_cli.outputs.parts import ParquetPart, TextPart
from pairchain_cli.outputs.resuming import Kept
from pairchain_cli.outputs.writing import Encoder, OutputFormat, Score, Table, encoder_for, is_stream, opened_stream
from pairchain_cli.rows.parquet import Parts
from pairchain_cli.rows.reading import Row, Rows
from pairchain_cli.telling import terminal

_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG}


class Output(Protocol):
    """Takes rows and scores, a window at a time.

    Attributes:
        is_done: Whether there is nothing to do: an earlier run did it.
    """

    is_done: bool

    def begin(self, identify: Callable[[], str], rows: Rows) -> None:
        """Be ready for the first row, or go to the first that is not written yet.

        Args:
            identify: Returns which model scores.
            rows: The input, at its beginning.
        """
        ...

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Write some rows."""
        ...

    def finish(self, columns: Sequence[str]) -> None:
        """Write what is left, after all rows of an input with these columns."""
        ...


class _Stream:
    is_done = False

    def begin(self, identify: Callable[[], str], rows: Rows) -> None:
        """Do nothing: there is never anything before."""


class Printed(_Stream):
    """A table for a person."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Print some rows."""
        self._table.print(rows, scores)

    def finish(self, columns: Sequence[str]) -> None:
        """Do nothing."""


class Streamed(_Stream):
    """Lines of text, gone as soon as they are written."""

    def __init__(self, encoder: Encoder, file: BinaryIO) -> None:
        self._encoder = encoder
        self._file = file
        self._is_begun = False

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Write some rows."""
        self._is_begun = True
        self._file.write(self._encoder.encode(rows, scores))
        self._file.flush()

    def finish(self, columns: Sequence[str]) -> None:
        """Write the head of a file without rows."""
        if not self._is_begun:
            self._file.write(self._encoder.encode_nothing(columns))


class Joined(_Stream):
    """A parquet file, which cannot be written before all of its rows are there; until then they wait on disk."""

    def __init__(self, folder: Path, score_column: str, schema: Any, file: BinaryIO) -> None:
        self._folder = folder
        self._parts = Parts(folder, schema)
        self._score_column = score_column
        self._file = file
        self._count = 0

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Put some rows on disk."""
        self._parts.write(self._count, [row.values for row in rows], {self._score_column: list(scores)})
        self._count += 1

    def finish(self, columns: Sequence[str]) -> None:
        """Write the file."""
        self._parts.join(self._count, self._folder / "joined")
        with (self._folder / "joined").open("rb") as joined:
            shutil.copyfileobj(joined, self._file)


@contextmanager
def passing(output: str, written_as: OutputFormat, table: Table, score_column: str, schema: Any) -> Iterator[Output]:
    """Yield an output that is written once, to a stream, or to a file that appears when it is whole.

    Args:
        output: A file's name, or ``"-"``.
        written_as: What it is written as.
        table: What prints the rows if they are printed.
        score_column: What the score is called.
        schema: The Arrow schema of the input, if it has one.
    """
    if written_as == OutputFormat.TABLE:
        yield Printed(table)
        return
    with _file(output) as file:
        if written_as == OutputFormat.PARQUET:
            with tempfile.TemporaryDirectory(prefix="pairchain-") as folder:
                yield Joined(Path(folder), score_column, schema, file)
        else:
            yield Streamed(encoder_for(written_as, score_column), file)


@contextmanager
def keeping(
    output: str,
    written_as: OutputFormat,
    score_column: str,
    schema: Any,
    options: Mapping[str, Any],
    *,
    resumes: bool,
) -> Iterator[Kept]:
    """Yield a file that a kill leaves to be gone on with.

    Args:
        output: The file's name.
        written_as: What it is written as.
        score_column: What the score is called.
        schema: The Arrow schema of the input, if it has one.
        options: What the scores depend on.
        resumes: Whether to go on with what an earlier run left.

    Raises:
        PairchainError: There is no such folder, or the output cannot be gone on with.
    """
    path = _place(output)
    part = (
        ParquetPart(path, score_column, schema)
        if written_as == OutputFormat.PARQUET
        else TextPart(path, encoder_for(written_as, score_column))
    )
    kept = Kept(path, part, options, resumes=resumes)
    with _telling_errors(output):
        try:
            yield kept
        except KeyboardInterrupt:
            if kept.rows:
                terminal.notes().print(f"{kept.rows:,} rows are kept; the same command with --resume goes on.")
            raise
        finally:
            kept.release()


@contextmanager
def _telling_errors(output: str) -> Iterator[None]:
    """Say of what a disk refuses which file it is about."""
    try:
        yield
    except PairchainError:
        raise
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise PairchainError(
            f"cannot write {str(error.filename or output)!r}: {error.strerror}.",
            next_step="make room, or name a file in a folder of yours.",
        ) from error


@contextmanager
def _file(output: str) -> Iterator[BinaryIO]:
    if is_stream(output):
        with _telling_errors(output), opened_stream(output) as stream:
            yield stream
        return
    path = _place(output)
    with _telling_errors(output), write_aside(path) as aside, aside.open("wb") as file:
        yield file


def _place(output: str) -> Path:
    """Return where the file is: a link stays one, and what it leads to is written.

    Raises:
        PairchainError: There is no such folder, or another user made that link.
    """
    refuse_planted_link(Path(output))
    path = Path(output).resolve()
    _require_folder(path)
    return path


def _require_folder(path: Path) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise PairchainError(
            f"cannot write {str(path)!r}: " + ("it is a folder." if path.is_dir() else f"there is no {path.parent}."),
            next_step="name a file in a folder that is there.",
        )
