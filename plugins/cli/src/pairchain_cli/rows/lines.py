"""Reads and counts the lines of a UTF-8 file; an error names the line that is not UTF-8."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any

from pairchain.errors import PairchainError

# A longer line would fill the memory, and means that the file does not consist of lines.
MOST_BYTES = 2**26

_UTF_8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe": "UTF-16LE", b"\xfe\xff": "UTF-16BE"}


class Lines:
    """The lines of a UTF-8 file, with their line ends.

    Attributes:
        name: The file's name in messages.
        number: The number of the line read last, from 1.
        position: The number of bytes read so far.
    """

    def __init__(self, file: Any, name: str) -> None:
        self.name = name
        self.number = 0
        self.position = 0
        self._file = file

    def __iter__(self) -> Iterator[str]:
        for line, fault in self.with_faults():
            if fault is not None:
                raise fault
            yield line

    def with_faults(self) -> Iterator[tuple[str, PairchainError | None]]:
        """Yield each line and None, or an empty text and an error if the line is not UTF-8."""
        while line := self._read():
            self.number += 1
            self.position += len(line)
            if len(line) > MOST_BYTES:
                raise self._refused(f"longer than {MOST_BYTES // 2**20} MiB.", "check that the file consists of lines.")
            try:
                yield self._decoded(line), None
            except UnicodeDecodeError as error:
                what = f"byte {error.start + 1} of the line, 0x{line[error.start]:02x}, is not UTF-8."
                yield "", self._refused(what, "convert the file to UTF-8, for example with iconv.")

    def _read(self) -> bytes:
        try:
            line: bytes = self._file.readline(MOST_BYTES + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise PairchainError(
                f"{self.name} cannot be decompressed after line {self.number}: {str(error).rstrip('.')}.",
                next_step=f"fetch the file again, and check it: gzip -t {self.name}",
            ) from error
        return line

    def _decoded(self, line: bytes) -> str:
        if self.number == 1:
            for mark, encoding in _OTHER_MARKS.items():
                if line.startswith(mark):
                    raise self._refused(
                        f"the file is in {encoding[:6]}.", f"convert it to UTF-8: iconv -f {encoding} -t UTF-8"
                    )
            line = line.removeprefix(_UTF_8_MARK)
        return line.decode()

    def _refused(self, what: str, next_step: str) -> PairchainError:
        return PairchainError(f"{self.name}, line {self.number}: {what}", next_step=next_step)
