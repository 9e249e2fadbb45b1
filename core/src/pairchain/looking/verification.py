"""Checking a model against its lock without loading it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pairchain.looking.pinning import LOCK_FILE, Lock, as_lock
from pairchain.opening import open_source
from pairchain.trust import policies


def verify(
    model_name_or_path: str | os.PathLike[str],
    lock: str | os.PathLike[str] | Lock = LOCK_FILE,
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
    code_revision: str | Mapping[str, str] | None = None,
) -> Lock:
    """Return the lock that a model was checked against, if the model is what was locked; nothing of it is run.

    Every file that loading may read is downloaded, where it was not yet, and hashed.

    Args:
        model_name_or_path: Folder, or Hub repository as ``owner/name``; that is checked at the locked commit.
        lock: Path of a lock file, or a lock.
        revision, token, cache_folder, local_files_only, subfolder, code_revision: As for `CrossEncoder`.

    Raises:
        LockError: It is not what was locked; the message names every difference.
        FormatError: There is no such lock, or it cannot be read.
        SourceError: The model cannot be had.
    """
    locked = as_lock(lock)
    policy = policies.policy_of(False, False, code_revision, locked)
    source = open_source(
        model_name_or_path,
        revision=revision or policy.locked_revision(model_name_or_path),
        token=token,
        cache_folder=cache_folder,
        local_files_only=local_files_only,
        subfolder=subfolder,
    )
    with policies.allowing(policy):
        locked.verify(source)
    return locked
