"""Paths that a model's files or another user may have chosen."""

from __future__ import annotations

import ntpath
import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

from pairchain.errors import UnsafePathError


def check_inside(path: str, *, shown_as: str) -> str:
    """Return ``path`` unchanged if it stays inside the folder it is relative to, on any operating system.

    Raises:
        UnsafePathError: The path is absolute, climbs with ``..``, names a drive, or holds a NUL.
    """
    climbs = ".." in PurePosixPath(path).parts or ".." in PureWindowsPath(path).parts
    # not PureWindowsPath.drive: before Python 3.12 it knows only letters as drives
    if climbs or path.startswith(("/", "\\")) or ntpath.splitdrive(path)[0] or "\0" in path:
        raise UnsafePathError(
            f"{shown_as} is {path!r}, which leaves the model's folder.",
            next_step="do not load this model; a saved model only names folders inside itself.",
        )
    return path


def refuse_planted_link(path: Path) -> None:
    """Refuse a link at ``path`` that another user put into a folder where all users may put files, such as ``/tmp``.

    Raises:
        UnsafePathError: It is one.
    """
    if not path.is_symlink() or not hasattr(os, "geteuid"):
        return
    folder = path.parent.stat()
    is_open_to_all = bool(folder.st_mode & stat.S_ISVTX) and bool(folder.st_mode & stat.S_IWOTH)
    if is_open_to_all and path.lstat().st_uid not in (os.geteuid(), folder.st_uid):
        raise UnsafePathError(
            f"{str(path)!r} is a link that another user made, and leads to {os.readlink(path)!r}.",
            next_step="write to a folder of your own, or name the place that the link leads to.",
        )
