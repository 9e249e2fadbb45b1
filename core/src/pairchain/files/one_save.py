"""Reading a folder while others may save to it, so that all files come from one save."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pairchain.errors import FormatError
from pairchain.files.folder_lock import wait_for_swap
from pairchain.files.hashes import identity
from pairchain.files.names import CHECKPOINT_FILE, CONFIG_FILE, MODULES_FILE
from pairchain.files.source import Source

_Read = TypeVar("_Read")

# Every save replaces the first of these files; a save over a bare checkpoint replaces at least one of the others.
_SAVED = (MODULES_FILE, CHECKPOINT_FILE, CONFIG_FILE)
_LEAST_ATTEMPTS = 3
_SECONDS = 30.0


def of_one_save(source: Source, read: Callable[[], _Read]) -> _Read:
    """Call ``read``, which reads the model in ``source``; call it again if a save replaced files meanwhile."""
    if not source.is_local:
        return read()
    root = Path(source.name) / source.subfolder
    began = time.monotonic()
    attempts = 0
    while attempts < _LEAST_ATTEMPTS or time.monotonic() - began < _SECONDS:
        attempts += 1
        wait_for_swap(root)
        before = _identities(root)
        try:
            found = read()
            if _identities(root) == before:
                return found
        except Exception:
            # a mix of two saves explains any failure
            if _identities(root) == before:
                raise
    raise FormatError(
        f"another process saved the model during each of {attempts} attempts to read it, so its files never matched.",
        where=str(source),
        next_step="load it again when no process saves to it, or save to a new folder each time.",
    )


def _identities(root: Path) -> list[tuple[int, ...]]:
    return [identity(root / name) for name in _SAVED]
