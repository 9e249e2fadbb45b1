"""Outputs that are not yet complete: a growing text file, or a folder of small parquet files."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pairchain.errors import PairchainError
from pairchain_cli.outputs.formats import Encoder
from pairchain_cli.outputs.own_files import open_own, require_own
from pairchain_cli.outputs.parquet_parts import ParquetParts
from pairchain_cli.rows.rows import Row, Score

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

_CHUNK = 2**20
# The files in the folder of a partial parquet output.
_PART_FILES = re.compile(r"[0-9]{6,}\.parquet|writing|joined")


class Busy(Exception):
    """Another process is writing this output."""


class PartialOutput(Protocol):
    """An output that is not yet complete.

    `add` returns a *state*: JSON that describes everything written so far. Before the first row, it is empty.

    Attributes:
        path: Its file or folder.
    """

    path: Path

    def lock(self) -> None:
        """Keep other processes out until `release`, or until this process ends.

        Raises:
            Busy: Another process has the lock.
            PairchainError: Something at the path was not written by this command.
        """
        ...

    def matches(self, path: Path, state: Mapping[str, Any]) -> bool:
        """Return whether the file at ``path`` is this output, completed in this state."""
        ...

    def resume(self, state: Mapping[str, Any]) -> None:
        """Drop everything written after ``state``, and prepare for the next row.

        Raises:
            PairchainError: Another program changed the output.
        """
        ...

    def add(self, rows: Sequence[Row], scores: Sequence[Score]) -> dict[str, Any]:
        """Write some rows to disk, and return the new state."""
        ...

    def complete(self, columns: Sequence[str]) -> None:
        """Write the rest of a complete file; an output without rows gets the input's ``columns``."""
        ...

    def rename(self, path: Path) -> None:
        """Rename the complete output to ``path``, in one step."""
        ...

    @property
    def is_renamed(self) -> bool:
        """Whether a complete output already has its name."""
        ...

    def release(self) -> None:
        """Release the lock."""
        ...

    def remove(self) -> None:
        """Delete the output."""
        ...


class PartialText:
    """A growing text file; see `PartialOutput`.

    Args:
        path: The complete file's path.
        encoder: Turns rows into lines.
    """

    _file: BinaryIO | None = None

    def __init__(self, path: Path, encoder: Encoder) -> None:
        self.path = _partial_path(path)
        self._encoder = encoder
        self._digest = hashlib.sha256()
        self._size = 0

    def lock(self) -> None:
        # do not truncate it: another process may be writing it
        self._file = os.fdopen(open_own(self.path), "r+b")
        _lock(self._file.fileno(), self.path)

    def matches(self, path: Path, state: Mapping[str, Any]) -> bool:
        with path.open("rb") as file:
            is_equal = _digest_of(file, state["bytes"]).hexdigest() == state["digest"]
            return is_equal and not file.read(1)

    def resume(self, state: Mapping[str, Any]) -> None:
        file = self._locked
        if state:
            self._size, self._digest = state["bytes"], _digest_of(file, state["bytes"])
            if self._digest.hexdigest() != state["digest"]:
                raise _changed(self.path)
            file.seek(0)
            self._encoder.resume(file)
        file.truncate(self._size)
        file.seek(self._size)

    def add(self, rows: Sequence[Row], scores: Sequence[Score]) -> dict[str, Any]:
        self._append(self._encoder.encode(rows, scores))
        return {"bytes": self._size, "digest": self._digest.hexdigest()}

    def complete(self, columns: Sequence[str]) -> None:
        if self._size == 0:
            self._append(self._encoder.encode_empty(columns))

    def rename(self, path: Path) -> None:
        self.path.replace(path)

    @property
    def is_renamed(self) -> bool:
        return not self.path.exists()

    def release(self) -> None:
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    @property
    def _locked(self) -> BinaryIO:
        assert self._file is not None
        return self._file

    def _append(self, data: bytes) -> None:
        file = self._locked
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        self._digest.update(data)
        self._size += len(data)


class PartialParquet:
    """A folder with a small parquet file for each window, because parquet files cannot grow; see `PartialOutput`.

    Args:
        path: The complete file's path.
        score_column: The name of the score's column.
        schema: The Arrow schema of the input, if it has one.
    """

    _lock: int | None = None

    def __init__(self, path: Path, score_column: str, schema: Any = None) -> None:
        self.path = _partial_path(path)
        self._parts = ParquetParts(self.path, score_column, schema)
        self._sizes: list[int] = []

    def lock(self) -> None:
        if not require_own(self.path, stat.S_ISDIR):
            self.path.mkdir(exist_ok=True)
        if fcntl is not None:
            self._lock = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
            _lock(self._lock, self.path)
        for entry in self.path.iterdir():
            require_own(entry, stat.S_ISREG)
            if not _PART_FILES.fullmatch(entry.name):
                raise PairchainError(
                    f"cannot use {self.path}: it contains {entry.name!r}, which this command did not write.",
                    next_step=f"move {self.path} away, or choose another name for the output.",
                )

    def matches(self, path: Path, state: Mapping[str, Any]) -> bool:
        return bool(self._parts.count_rows(path) == sum(state["parts"]))

    def resume(self, state: Mapping[str, Any]) -> None:
        self._sizes = list(state.get("parts", ()))
        for number, size in enumerate(self._sizes):
            if self._parts.count_rows(self._parts.path(number)) != size:
                raise _changed(self.path)

    def add(self, rows: Sequence[Row], scores: Sequence[Score]) -> dict[str, Any]:
        self._parts.write(len(self._sizes), rows, scores)
        self._sizes.append(len(rows))
        return {"parts": self._sizes}

    def complete(self, columns: Sequence[str]) -> None:
        self._parts.join(len(self._sizes))

    def rename(self, path: Path) -> None:
        self._parts.joined.replace(path)
        self.remove()

    @property
    def is_renamed(self) -> bool:
        return not self._parts.joined.exists()

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        # keep a folder that contains files of others
        if not self.path.is_symlink() and self.path.is_dir():
            for entry in self.path.iterdir():
                if _PART_FILES.fullmatch(entry.name):
                    entry.unlink()
            with suppress(OSError):
                self.path.rmdir()


def _partial_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _lock(descriptor: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy from error
    # if another process finished between opening and locking, this file is its complete output
    if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise Busy


def _digest_of(file: BinaryIO, left: int) -> Any:
    """Return the SHA-256 of the next ``left`` bytes of ``file``, or of all bytes if there are fewer."""
    digest = hashlib.sha256()
    while left and (chunk := file.read(min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    return digest


def _changed(path: Path) -> PairchainError:
    return PairchainError(
        f"{path} was changed by another program.", next_step=f"remove {path}.json to start from the beginning."
    )
