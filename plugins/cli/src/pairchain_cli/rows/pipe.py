"""Reads a pipe as its bytes arrive, so that a row can be scored before the next one is written."""

from __future__ import annotations

import os
import select
import stat
import sys

_CHUNK = 2**16
# Rows that arrive in one burst are scored together.
_SECONDS = 0.05


def is_pipe(descriptor: int) -> bool:
    """Return whether a file's bytes arrive over time, and `Pipe` can read it."""
    # on Windows, select takes sockets only
    return sys.platform != "win32" and not stat.S_ISREG(os.fstat(descriptor).st_mode)


class Pipe:
    """The bytes of a pipe, with the methods of a binary file that reading rows needs."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._has_ended = False

    def readline(self, most: int) -> bytes:
        """Return the next line, or its first ``most`` bytes; empty at the end."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0 and (searched := len(self._buffer)) < most:
            if not self._fill():
                break
        return self._take(min(most, end + 1 if end >= 0 else len(self._buffer)))

    def read(self, most: int) -> bytes:
        """Return at most ``most`` of the next bytes; empty at the end."""
        if not self._buffer:
            self._fill()
        return self._take(most)

    def peek(self, least: int) -> bytes:
        """Return the next bytes without taking them: at least so many, unless there are fewer."""
        while len(self._buffer) < least and self._fill():
            pass
        return bytes(self._buffer)

    def seekable(self) -> bool:
        """Return False."""
        return False

    def fileno(self) -> int:
        """Return the pipe's descriptor."""
        return self._descriptor

    def has_arrived(self) -> bool:
        """Return whether the next line, or the end, arrives within a moment."""
        return b"\n" in self._buffer or self._has_ended or bool(select.select([self._descriptor], [], [], _SECONDS)[0])

    def _fill(self) -> bool:
        chunk = os.read(self._descriptor, _CHUNK)
        self._buffer += chunk
        self._has_ended = not chunk
        return bool(chunk)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken
