"""Checks of paths that a model's files or another user may have chosen."""

from __future__ import annotations

import ntpath
import os
import stat
from pathlib import Path

from pairchain.errors import UnsafePathError


def check_inside(path: str, *, shown_as: str) -> str:
    """Return ``path`` unchanged if it stays inside the folder it is relative to, on any operating system.

    Raises:
        UnsafePathError: The path is absolute, climbs with ``..``, names a drive, or holds a NUL.
    """
    climbs = ".." in path.replace("\\", "/").split("/")
    if climbs or path.startswith(("/", "\\")) or ntpath.splitdrive(path)[0] or "\0" in path:
        raise UnsafePathError(
            f"{shown_as} is {path!r}, which leaves the model's folder.",
            next_step="do not load this model; an honest one names only folders inside itself.",
        )
    return path


def refuse_planted_link(path: Path) -> None:
    """Raise an `UnsafePathError` if ``path`` is a link that another user made in a shared folder, such as ``/tmp``."""
    if not path.is_symlink() or not hasattr(os, "geteuid"):
        return
    folder = path.parent.stat()
    is_open_to_all = bool(folder.st_mode & stat.S_ISVTX) and bool(folder.st_mode & stat.S_IWOTH)
    if is_open_to_all and path.lstat().st_uid not in (os.geteuid(), folder.st_uid):
        raise UnsafePathError(
            f"{str(path)!r} is a link to {os.readlink(path)!r} that another user made.",
            next_step="write to a folder of your own, or name the link's target.",
        )
