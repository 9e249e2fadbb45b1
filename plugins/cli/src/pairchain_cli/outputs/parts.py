"""What an output is until it is whole: a text file that grows, or a folder of small parquet files."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pairchain.errors import PairchainError
from pairchain_cli.outputs.own_files import open_own, require_own
from pairchain_cli.outputs.writing import Encoder, Score
from pairchain_cli.rows.parquet import Parts
from pairchain_cli.rows.reading import Row

try:
    import fcntl
except ImportError:  # no such thing on Windows
    fcntl = None  # type: ignore[assignment]

_ENDING = ".part"
_CHUNK = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What is in the folder of a parquet file's parts.
_OWN = re.compile(r"[0-9]{6,}\.parquet|writing|joined")


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
            PairchainError: Something is there that the command did not write.
        """
        ...

    def fault(self, state: Mapping[str, Any], rows: int) -> str:
        """Return why ``state`` cannot be what `add` returned after so many rows, or an empty string."""
        ...

    def is_in(self, path: Path, state: Mapping[str, Any], rows: int) -> bool:
        """Return whether the file at ``path`` is this part, as ``state`` says that it was when it was whole."""
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
        self._file = os.fdopen(open_own(self.path), "r+b")
        _lock(self._file.fileno(), self.path)

    def fault(self, state: Mapping[str, Any], rows: int) -> str:
        """Return why ``state`` cannot be one, or an empty string."""
        head = state.get("head")
        if type(state.get("bytes")) is not int or state["bytes"] < 1:
            return "it does not say how many bytes are written"
        if not isinstance(state.get("digest"), str) or not _SHA256.fullmatch(state["digest"]):
            return "it does not say what the written bytes hash to"
        if head is not None and not (isinstance(head, list) and all(isinstance(name, str) for name in head)):
            return "its head is not a list of names"
        return ""

    def is_in(self, path: Path, state: Mapping[str, Any], rows: int) -> bool:
        """Return whether the file at ``path`` is this part."""
        with path.open("rb") as file:
            return path.stat().st_size == state["bytes"] and _read(file, state["bytes"]) == state["digest"]

    def begin(self) -> None:
        """Be ready for the first row."""
        self._opened.truncate(0)

    def go_on(self, state: Mapping[str, Any], rows: int) -> None:
        """Be ready for the row after those that are noted; a torn line after them is dropped."""
        file = self._opened
        file.seek(0)
        counter = self._encoder.counter()
        digest = hashlib.sha256()
        found = _read(file, state["bytes"], digest, counter.count)
        self._encoder.head = state.get("head")
        is_head_there = self._encoder.starts(_beginning(file))
        if found != state["digest"] or counter.records != rows or not is_head_there:
            raise _changed(self.path)
        self._digest = digest
        self._size = state["bytes"]
        file.truncate(self._size)
        file.seek(self._size)

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
        if not require_own(self.path, stat.S_ISDIR):
            self.path.mkdir(exist_ok=True)
        if fcntl is not None:
            self._lock = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
            _lock(self._lock, self.path)
        for entry in self.path.iterdir():
            require_own(entry, stat.S_ISREG)
            if not _OWN.fullmatch(entry.name):
                raise PairchainError(
                    f"{self.path} is in the way: it holds {entry.name!r}, which this command did not write.",
                    next_step=f"move {self.path} away, or write the output under another name.",
                )

    def fault(self, state: Mapping[str, Any], rows: int) -> str:
        """Return why ``state`` cannot be one, or an empty string."""
        sizes = state.get("parts")
        if not isinstance(sizes, list) or any(type(size) is not int or size < 1 for size in sizes):
            return "it does not say how many rows each part has"
        return "" if sum(sizes) == rows else "its parts have another number of rows than it says"

    def is_in(self, path: Path, state: Mapping[str, Any], rows: int) -> bool:
        """Return whether the file at ``path`` has as many rows as the parts together."""
        return self._parts.rows_of(path) == rows

    def begin(self) -> None:
        """Be ready for the first row."""
        self._remove_files()

    def go_on(self, state: Mapping[str, Any], rows: int) -> None:
        """Be ready for the row after those that are noted; a part after them is written again."""
        self._sizes = list(state["parts"])
        if any(self._parts.rows(number) != size for number, size in enumerate(self._sizes)):
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
        """Remove it; what somebody else put into its folder stays."""
        if not self.path.is_symlink() and self.path.is_dir():
            self._remove_files()
            with suppress(OSError):
                self.path.rmdir()

    def _remove_files(self) -> None:
        for entry in self.path.iterdir():
            if _OWN.fullmatch(entry.name):
                entry.unlink()

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


def _read(file: BinaryIO, left: int, digest: Any = None, look_at: Callable[[bytes], None] | None = None) -> str:
    """Return what the next ``left`` bytes of ``file`` hash to, or nothing if there are fewer."""
    digest = digest or hashlib.sha256()
    while left and (chunk := file.read(min(left, _CHUNK))):
        digest.update(chunk)
        if look_at is not None:
            look_at(chunk)
        left -= len(chunk)
    return "" if left else str(digest.hexdigest())


def _beginning(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(_CHUNK)


def _changed(path: Path) -> PairchainError:
    return PairchainError(
        f"{path} is not as it was left: something else changed it.",
        next_step=f"remove {path}.json and begin again.",
    )
