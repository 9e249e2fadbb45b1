"""Outputs that cannot be written twice: stdout, pipes and devices."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import typer

from pairchain.errors import PairchainError
from pairchain_cli.rows.rows import STREAM

# A shell's status for a program that SIGPIPE ended: 128 plus the signal's number.
_SIGPIPE_STATUS = 141


def is_stream(output: str) -> bool:
    """Return whether ``output`` is stdout, or names a pipe or a device such as /dev/null."""
    if output == STREAM or output.startswith("/dev/"):
        return True
    return os.path.exists(output) and not os.path.isfile(output) and not os.path.isdir(output)


@contextmanager
def open_stream(output: str) -> Iterator[BinaryIO]:
    """Yield stdout, or the pipe or device ``output``, to write bytes to.

    Raises:
        PairchainError: The stream cannot be opened.
    """
    if output != STREAM:
        try:
            file = open(output, "wb")  # noqa: SIM115 - an error in the block is not an error of opening
        except OSError as error:
            raise PairchainError(f"cannot write {output!r}: {error.strerror}.") from error
        with file:
            yield file
        return
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except PairchainError:
        raise  # some of these are OSErrors too
    except OSError as error:
        discard_stdout()
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(_SIGPIPE_STATUS) from None
        raise


def discard_stdout() -> None:
    """Send buffered output to the null device, so that Python can exit without another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
