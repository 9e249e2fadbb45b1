"""Lines of a file as text: which one it is, how many bytes are read, and errors that say where it is no text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pairchain.errors import PairchainError

# A longer line is no line: something else was named by mistake, and would fill the memory.
MOST_BYTES = 2**26

_UTF_8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe": "UTF-16LE", b"\xfe\xff": "UTF-16BE"}


class Lines:
    """The lines of a file in UTF-8, with their ends.

    Attributes:
        name: What a person calls the file.
        number: The number of the line read last, from 1.
        position: The bytes read so far.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.number = 0
        self.position = 0
        self._file = file

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(MOST_BYTES + 1):
            self.number += 1
            self.position += len(line)
            if len(line) > MOST_BYTES:
                raise self._refused(f"it is longer than {MOST_BYTES // 2**20} MiB.", "name a file that has lines.")
            yield self._text(line)

    def _text(self, line: bytes) -> str:
        if self.number == 1:
            for mark, encoding in _OTHER_MARKS.items():
                if line.startswith(mark):
                    raise self._refused(
                        f"the file is written in {encoding[:6]}.", f"write it in UTF-8: iconv -f {encoding} -t UTF-8"
                    )
            line = line.removeprefix(_UTF_8_MARK)
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            raise self._refused(
                f"byte {error.start + 1} of the line, 0x{line[error.start]:02x}, is no UTF-8.",
                "write the file in UTF-8, such as with iconv.",
            ) from error

    def _refused(self, what: str, next_step: str) -> PairchainError:
        return PairchainError(f"{self.name}, line {self.number}: {what}", next_step=next_step)
