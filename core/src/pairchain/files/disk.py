"""What a disk refuses, said of the file or folder that was to be written, whichever library tried."""

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
# Libraries written in Rust put the system's number into words.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
# What torch says of a file that it could not write, whyever that was.
_TORCH_FAILED = re.compile(r"inline_container\.cc|PytorchStreamWriter")


@contextmanager
def telling_refusals(place: Path, *, needs: int = 0) -> Iterator[None]:
    """Turn what the disk refuses inside the block into an error that names ``place``.

    Args:
        place: The file or folder that is written.
        needs: The bytes that its weights take, if that is known.

    Raises:
        SaveError: The disk is full or read-only, or refuses for another reason of its own.
    """
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
        f"cannot save to {str(place)!r}: {_REASONS[number]}.{room} What was there before is unchanged.",
        place=str(place),
        errno=number,
        free=free,
        next_step="make room, or save to another disk." if number in _FULL else "save to another place.",
    )


def _number(error: BaseException, place: Path) -> int | None:
    """Return why the disk refused, if that is what ``error`` or one that led to it says."""
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
    """Return whether the file that ``error`` names, if any, is at ``place``, or beside it or a folder around it."""
    if not isinstance(error.filename, str | bytes):
        return True
    file = Path(os.path.abspath(os.fsdecode(error.filename)))
    places = [Path(os.path.abspath(place)), Path(os.path.realpath(place))]
    return any(file.is_relative_to(place.parent) or place.is_relative_to(file.parent) for place in places)


def _free(place: Path) -> int | None:
    for folder in (place, *place.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
