"""What an output is until it is whole: a text file that grows, or a folder of small parquet files."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pairchain.errors import PairchainError
from pairchain_cli.parquet import Parts
from pairchain_cli.reading import Row
from pairchain_cli.writing import Encoder, Score

try:
    import fcntl
except ImportError:  # no such thing on Windows
    fcntl = None  # type: ignore[assignment]

_ENDING = ".part"
_CHUNK = 2**20


class Taken(Exception):
    """Another process writes this part."""


class Part(Protocol):
    """An output that is not whole yet.

    Attributes:
        path: Where it is.
    """

    path: Path

    def lock(self) -> None:
        """Keep other processes out until `release`, or until this process ends in whatever way.

        Raises:
            Taken: Another one was first.
        """
        ...

    def begin(self) -> None:
        """Be ready for the first row."""
        ...

    def go_on(self, state: Mapping[str, Any], rows: int) -> None:
        """Be ready for the row after those that ``state`` is about; what was written after them is dropped.

        Raises:
            PairchainError: The part is not as it was left.
        """
        ...

    def add(self, rows: Sequence[Row], scores: Sequence[Score]) -> dict[str, Any]:
        """Put some rows on disk, and return what `go_on` needs to know of all rows so far."""
        ...

    def close(self, columns: Sequence[str]) -> None:
        """Make it whole; without rows, of an input with these columns."""
        ...

    def rename(self, path: Path) -> None:
        """Give it its name, in one step."""
        ...

    @property
    def is_renamed(self) -> bool:
        """Whether it has its name already, if it was whole."""
        ...

    def release(self) -> None:
        """Let others write it."""
        ...

    def remove(self) -> None:
        """Remove it."""
        ...


def beside(path: Path) -> Path:
    """Return where the part of the file at ``path`` is."""
    return path.with_name(path.name + _ENDING)


class TextPart:
    """A file of lines that grows.

    Args:
        path: The file that it is to be.
        encoder: Turns rows into lines.
    """

    def __init__(self, path: Path, encoder: Encoder) -> None:
        self.path = beside(path)
        self._encoder = encoder
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._size = 0

    def lock(self) -> None:
        """Keep other processes out."""
        # not truncated before it is known that nobody else writes it
        self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        _lock(self._file.fileno(), self.path)

    def begin(self) -> None:
        """Be ready for the first row."""
        self._opened.truncate(0)

    def go_on(self, state: Mapping[str, Any], rows: int) -> None:
        """Be ready for the row after those that are noted; a torn line after them is dropped."""
        file, left = self._opened, int(state["bytes"])
        file.seek(0)
        while left and (chunk := file.read(min(left, _CHUNK))):
            self._digest.update(chunk)
            left -= len(chunk)
        if left or self._digest.hexdigest() != state["digest"]:
            raise _changed(self.path)
        self._size = int(state["bytes"])
        file.truncate(self._size)
        file.seek(self._size)
        self._encoder.head = state["head"]

    def add(self, rows: Sequence[Row], scores: Sequence[Score]) -> dict[str, Any]:
        """Put some rows on disk."""
        self._append(self._encoder.encode(rows, scores))
        return {"bytes": self._size, "digest": self._digest.hexdigest(), "head": self._encoder.head}

    def close(self, columns: Sequence[str]) -> None:
        """Make it whole."""
        if self._size == 0:
            self._append(self._encoder.encode_nothing(columns))

    def rename(self, path: Path) -> None:
        """Give it its name."""
        self.path.replace(path)

    @property
    def is_renamed(self) -> bool:
        """Whether it has its name already."""
        return not self.path.exists()

    def release(self) -> None:
        """Let others write it."""
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)

    @property
    def _opened(self) -> BinaryIO:
        assert self._file is not None
        return self._file

    def _append(self, data: bytes) -> None:
        file = self._opened
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        self._digest.update(data)
        self._size += len(data)


class ParquetPart:
    """A folder with a small parquet file for each window of rows; a parquet file itself cannot grow.

    Args:
        path: The file that it is to be.
        score_column: What the score is called.
        schema: The Arrow schema of the input, if it has one.
    """

    def __init__(self, path: Path, score_column: str, schema: Any = None) -> None:
        self.path = beside(path)
        self._score_column = score_column
        self._parts = Parts(self.path, schema)
        self._sizes: list[int] = []
        self._lock: int | None = None

    def lock(self) -> None:
        """Keep other processes out."""
        self.path.mkdir(exist_ok=True)
        if fcntl is not None:
            self._lock = os.open(self.path, os.O_RDONLY)
            _lock(self._lock, self.path)

    def begin(self) -> None:
        """Be ready for the first row."""
        for old in self.path.iterdir():
            old.unlink()

    def go_on(self, state: Mapping[str, Any], rows: int) -> None:
        """Be ready for the row after those that are noted; a part after them is written again."""
        self._sizes = list(state["parts"])
        if sum(self._sizes) != rows or any(self._parts.rows(number) != size for number, size in enumerate(self._sizes)):
            raise _changed(self.path)

    def add(self, rows: Sequence[Row], scores: Sequence[Score]) -> dict[str, Any]:
        """Put some rows on disk."""
        self._parts.write(len(self._sizes), [row.values for row in rows], {self._score_column: list(scores)})
        self._sizes.append(len(rows))
        return {"parts": self._sizes}

    def close(self, columns: Sequence[str]) -> None:
        """Join the parts."""
        self._parts.join(len(self._sizes), self._joined)

    def rename(self, path: Path) -> None:
        """Give the joined file its name, and remove what it was joined of."""
        self._joined.replace(path)
        self.remove()

    @property
    def is_renamed(self) -> bool:
        """Whether the joined file has its name already; the rest may be there still."""
        return not self._joined.exists()

    def release(self) -> None:
        """Let others write it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove it."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    @property
    def _joined(self) -> Path:
        return self.path / "joined"


def _lock(descriptor: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Taken from error
    # whoever was first may have been done between the opening and the locking: then this is its whole output
    if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise Taken


def _changed(path: Path) -> PairchainError:
    return PairchainError(
        f"{path} is not as it was left: something else changed it.",
        next_step=f"remove {path}.json and begin again.",
    )
