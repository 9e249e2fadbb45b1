"""Compares single files with the lock of the load in progress."""

from __future__ import annotations

from pairchain.errors import LockError
from pairchain.files.source import Source
from pairchain.text.escaping import on_one_line
from pairchain.trust import guard, policies


def require_locked(source: Source, path: str, digest: str) -> None:
    """Check a file against the lock of the load in progress, if it has one.

    Verifying a lock does not fetch large files that only other libraries read, so a plugin that reads one calls this.

    Args:
        source: Where the file is.
        path: Relative to ``source``.
        digest: The SHA-256 of the bytes that were read.

    Raises:
        LockError: The lock does not have the file, or has it with other content.
    """
    if (lock := policies.current_policy().lock) is None:
        return
    root = guard.model_of_load(source).subfolder
    inside = source.path_of(path)
    locked = lock.files.get(inside.removeprefix(f"{root}/") if root else inside)
    if locked == digest:
        return
    shown = on_one_line(inside)
    raise LockError(
        f"the file {shown} is not in the lock." if locked is None else f"the file {shown} differs from the lock.",
        where=str(source),
        next_step="find out what changed it; if you can explain it, lock the model again.",
        mismatches=(f"the file {shown} {'is not in the lock' if locked is None else 'changed'}",),
    )
