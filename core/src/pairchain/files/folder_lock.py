"""A lock on a folder while its files are swapped. The operating system releases it when its holder dies."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pairchain.errors import FolderBusyError, warn

fcntl: Any
msvcrt: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:  # everywhere else
    msvcrt = None

# A swap is a few renames. A process that holds a folder for longer has stopped, so waiting does not help.
PATIENCE = 60.0

# For folders that cannot be locked: on Windows, and on network file systems that lock only files open for writing.
LOCK_FILE = ".pairchain-saving.lock"
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL, errno.ENOSYS}
_TAKEN = {errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
_LONGEST_PAUSE = 0.05
# Windows removes the file with its last handle, however that is closed.
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_TEMPORARY", 0)


class _NoLocks(Exception):
    """The file system or the operating system has no lock of this kind."""


@contextmanager
def locked(folder: Path, *, holder: Callable[[], int | None], patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of ``folder`` inside the block; other threads and processes wait for it.

    All names of the folder, and links to it, share the lock. If its file system has no locks, a warning says so.
    ``holder`` returns the process that holds the lock, or None, for the error after ``patience`` seconds.
    """
    began = time.monotonic()
    places = {folder / LOCK_FILE: _FLAGS} if fcntl is None else {folder: os.O_RDONLY, folder / LOCK_FILE: _FLAGS}
    for path, flags in places.items():
        with suppress(_NoLocks):
            handle = _acquired(path, flags, patience)
            break
    else:
        warn(
            f"the file system of {folder} has no locks; make sure that nothing else saves to this folder at the same "
            "time."
        )
        yield
        return
    if handle is None:
        raise FolderBusyError(str(folder), holder=holder(), waited=time.monotonic() - began)
    try:
        yield
    finally:
        _release(handle, folder)


def wait_for_swap(folder: Path, *, patience: float = PATIENCE) -> None:
    """Wait until no process is swapping the files of ``folder``, or for ``patience`` seconds."""
    if fcntl is None:
        return
    # a folder that cannot be opened or locked is read as it is
    with suppress(OSError, _NoLocks):
        handle = os.open(folder, os.O_RDONLY)
        try:
            for _ in _attempts(patience):
                if _take(handle, shared=True):
                    break
        finally:
            os.close(handle)


def _acquired(path: Path, flags: int, patience: float) -> int | None:
    """Return a handle that holds the lock of the folder or file at ``path``, or None if it stays taken."""
    for _ in _attempts(patience):
        handle = os.open(path, flags, 0o666)
        is_held = False
        try:
            is_held = _take(handle) and _is_same(path, handle)
        finally:
            if not is_held:
                os.close(handle)
        if is_held:
            return handle
    return None


def _attempts(patience: float) -> Iterator[None]:
    """Yield at once, and then after ever longer pauses for ``patience`` seconds."""
    until = time.monotonic() + patience
    pause = 0.001
    yield
    while time.monotonic() < until:
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        yield


def _take(handle: int, *, shared: bool = False) -> bool:
    """Try to take the lock of ``handle``, and return whether it was free."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_NB | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX))
        elif msvcrt is not None:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            raise _NoLocks
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno in _UNSUPPORTED:
            raise _NoLocks from error
        raise
    return True


def _is_same(path: Path, handle: int) -> bool:
    # its last holder may have removed it, and a lock on a removed file has no effect
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _release(handle: int, folder: Path) -> None:
    file = folder / LOCK_FILE
    with suppress(OSError):
        if fcntl is not None and os.path.samestat(os.fstat(handle), file.lstat()):
            file.unlink()
    with suppress(OSError):
        # closing is not enough: a process forked meanwhile shares the lock
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
