"""Turns the error of any library that could not write to a disk into one that names the file and the reason."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pairchain.errors import SaveError
from pairchain.text.units import bytes_in_words

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on the disk is used up",
    errno.EFBIG: "a file would be larger than the system allows",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the disk could not take the data",
}
# Libraries written in Rust have the error number only in their message.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
# torch's message for a file that it could not write, without the reason.
_TORCH_FAILED = re.compile(r"inline_container\.cc|PytorchStreamWriter")


@contextmanager
def telling_refusals(place: Path, *, needs: int = 0) -> Iterator[None]:
    """Turn errors of the disk inside the block into a `SaveError` about ``place``, which needs ``needs`` bytes."""
    try:
        yield
    except SaveError:
        raise
    except Exception as error:
        free = _free(place)
        number = _number(error, place)
        if number is None and _TORCH_FAILED.search(str(error)):
            number = errno.ENOSPC if free is None or free <= 2 * needs else errno.EIO
        if number is None:
            raise
        raise _refused(place, number, needs, free) from error


def _refused(place: Path, number: int, needs: int, free: int | None) -> SaveError:
    room = ""
    if number in _FULL and free is not None:
        said = f"The weights alone take {bytes_in_words(needs)}, and " if needs else ""
        room = f" {said}{bytes_in_words(free)} is free."
    return SaveError(
        f"cannot save to {str(place)!r}: {_REASONS[number]}.{room} Existing files are unchanged.",
        place=str(place),
        errno=number,
        free=free,
        next_step="make room, or save to another disk." if number in _FULL else "save to another place.",
    )


def _number(error: BaseException, place: Path) -> int | None:
    """Return the error number of the disk error that caused ``error``, or None."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno in _REASONS and _is_about(cause, place):
            return cause.errno
        if not isinstance(cause, OSError) and (found := _OS_ERROR.search(str(cause))) and int(found[1]) in _REASONS:
            return int(found[1])
        cause = cause.__cause__ or cause.__context__
    return None


def _is_about(error: OSError, place: Path) -> bool:
    """Return whether ``error`` names no file, or a file in ``place``, beside it, or beside a folder around it."""
    if not isinstance(error.filename, str | bytes):
        return True
    file = Path(os.path.abspath(os.fsdecode(error.filename)))
    places = [Path(os.path.abspath(place)), Path(os.path.realpath(place))]
    return any(file.is_relative_to(place.parent) or place.is_relative_to(file.parent) for place in places)


def _free(place: Path) -> int | None:
    existing = next(folder for folder in (place, *place.absolute().parents) if os.path.exists(folder))
    try:
        return shutil.disk_usage(existing).free
    except OSError:
        return None
