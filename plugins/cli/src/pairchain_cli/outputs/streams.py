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

# A shell's status for a program that was ended by SIGPIPE: 128 and the signal's number.
_SIGPIPE_STATUS = 141


def is_stream(output: str) -> bool:
    """Return whether ``output`` is stdout, or names a pipe or a device such as /dev/null."""
    if output == STREAM or output.startswith("/dev/"):
        return True
    return os.path.exists(output) and not os.path.isfile(output) and not os.path.isdir(output)


@contextmanager
def open_stream(output: str) -> Iterator[BinaryIO]:
    """Yield stdout, or the pipe or device of that name, to write bytes to.

    Raises:
        PairchainError: It cannot be written.
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
        raise  # some are OSErrors too
    except OSError as error:
        discard_stdout()
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(_SIGPIPE_STATUS) from None
        raise


def discard_stdout() -> None:
    """Send what is still buffered to nowhere, so that Python can end without another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
