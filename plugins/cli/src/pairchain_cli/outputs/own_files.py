"""Opens files whose names other users can predict: only this user's own files, and never through a link."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pairchain.errors import PairchainError

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_own(path: Path) -> int:
    """Open the file at ``path`` for reading and writing, or create it; return its handle.

    Raises:
        PairchainError: The path is a link, a pipe, a file with a second name, or another user's file.
    """
    require_own(path, stat.S_ISREG)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINKS, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _refused(path, "it is a link") from error
        raise
    if fault := _fault(os.fstat(handle), stat.S_ISREG):
        os.close(handle)
        raise _refused(path, fault)
    return handle


def open_new(path: Path) -> int:
    """Create a new file at ``path``, replacing a file or link there; return its handle."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o666)


def require_own(path: Path, is_kind: object) -> bool:
    """Return whether ``path`` exists; refuse it if it is not this user's own.

    Args:
        path: The path.
        is_kind: `stat.S_ISREG` or `stat.S_ISDIR`: the kind of file that it may be.

    Raises:
        PairchainError: The file is of another kind, has a second name, or belongs to another user.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if fault := _fault(found, is_kind):
        raise _refused(path, fault)
    return True


def _fault(found: os.stat_result, is_kind: object) -> str:
    """Return why a file must not be touched, or an empty string."""
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not is_kind(found.st_mode):  # type: ignore[operator]
        return "it is not a folder" if is_kind is stat.S_ISDIR else "it is not a regular file"
    if is_kind is stat.S_ISREG and found.st_nlink > 1:
        return "the file has a second name and would change under that too"
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        return "it belongs to another user"
    return ""


def _refused(path: Path, fault: str) -> PairchainError:
    return PairchainError(
        f"cannot use {path}: {fault}.", next_step=f"remove {path}, or choose another name for the output."
    )
