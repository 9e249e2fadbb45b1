"""Reads the lines of text files, compressed or not, with their numbers and offsets."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from pairchain.errors import PairchainError

# A line beyond this is no line of a run or of a collection, but a file of another kind.
MOST_BYTES = 2**27

STREAM = "-"

# Endings of files that are no lines of fields or JSON.
_OTHERS = (".parquet", ".arrow", ".csv", ".xlsx", ".zip", ".tar", ".tgz", ".bz2", ".xz", ".zst")


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: Its number, from 1.
        offset: The place of its first byte.
        data: Its bytes, without those that end it, and without a byte order mark.
    """

    number: int
    offset: int
    data: bytes


def refused(name: str, number: int, what: str, *, next_step: str = "") -> PairchainError:
    """Return an error about a line of the file ``name``."""
    return PairchainError(f"{name}, line {number}: {what}", next_step=next_step)


def is_compressed(path: str) -> bool:
    """Return whether the name of a file ends in ``.gz``."""
    return path.lower().endswith(".gz")


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Yield a file to read bytes from: decompressed if its name ends in ``.gz``, and stdin for ``-``.

    Raises:
        PairchainError: The file cannot be opened, or its name says that it has no lines as here.
    """
    if path == STREAM:
        yield sys.stdin.buffer
        return
    if path.lower().removesuffix(".gz").endswith(_OTHERS):
        raise PairchainError(
            f"cannot read {path!r}: the format is none of a run, of texts or of judgements.",
            next_step="write it as jsonl, or in Python pass a frame to pairchain.rerank_run.",
        )
    try:
        file = open(path, "rb")  # noqa: SIM115 - an error in the block is not an error of opening
    except OSError as error:
        raise PairchainError(f"cannot read {path!r}: {error.strerror}.", next_step="check the file name.") from error
    with file:
        if is_compressed(path):
            with gzip.GzipFile(fileobj=file) as content:
                # a GzipFile reads like a file, though it does not say so to type checkers
                yield content  # type: ignore[misc]
        else:
            yield file


@contextmanager
def opened_at_random(path: str) -> Iterator[IO[bytes]]:
    """Yield a file that can be read at any place: itself, or a temporary copy if it is compressed or a pipe.

    Raises:
        PairchainError: The file cannot be read.
    """
    with opened(path) as file:
        if is_seekable(path):
            yield file
            return
        with tempfile.TemporaryFile(prefix="pairchain-") as copy:
            with naming_damage(path):
                shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield copy


def is_seekable(path: str) -> bool:
    """Return whether a file can be read at any place without reading all before it."""
    return path != STREAM and not is_compressed(path) and stat.S_ISREG(os.stat(path).st_mode)


@contextmanager
def naming_damage(path: str) -> Iterator[None]:
    """Turn errors of a compressed file that is damaged into one that names the file."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise PairchainError(
            f"{path} is not a complete gzip file: {error}.", next_step="copy or download the file again."
        ) from error


def lines_of(file: IO[bytes], name: str) -> Iterator[Line]:
    """Yield the lines of a file from its start, except empty ones.

    Raises:
        PairchainError: A line is too long to be one, or the file is damaged.
    """
    offset = number = 0
    with naming_damage(name):
        while data := file.readline(MOST_BYTES + 1):
            number += 1
            if len(data) > MOST_BYTES:
                raise refused(name, number, f"it is longer than {MOST_BYTES:,} bytes.", next_step="check the file.")
            start, offset = offset, offset + len(data)
            if number == 1 and data.startswith(b"\xef\xbb\xbf"):
                data = data[3:]
            if data := data.rstrip(b"\r\n"):
                if data.isspace():
                    continue
                yield Line(number, start, data)


def text_of(line: Line, name: str) -> str:
    """Return a line as text.

    Raises:
        PairchainError: It is not UTF-8.
    """
    try:
        return line.data.decode()
    except UnicodeDecodeError as error:
        raise refused(
            name, line.number, f"not valid UTF-8 at byte {error.start + 1}.", next_step="convert the file to UTF-8."
        ) from error
