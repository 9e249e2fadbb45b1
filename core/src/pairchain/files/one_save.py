"""Reading a folder that something may save to meanwhile: all of what is read is of one save."""

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

# Every save replaces the first, and one to a bare checkpoint at least another.
_SAVED = (MODULES_FILE, CHECKPOINT_FILE, CONFIG_FILE)
_LEAST_ATTEMPTS = 3
_SECONDS = 30.0


def of_one_save(source: Source, read: Callable[[], _Read]) -> _Read:
    """Return what ``read`` returns of the model in ``source``; it is called again if a save replaced files meanwhile.

    Raises:
        FormatError: The files were replaced each time.
    """
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
        except Exception:
            # the files of two saves explain any failure
            if _identities(root) == before:
                raise
        else:
            if _identities(root) == before:
                return found
    raise FormatError(
        f"the model was saved anew each of the {attempts} times that it was read, so its files are not of one save.",
        where=str(source),
        next_step="load it again once nothing saves to it, or save to another folder each time.",
    )


def _identities(root: Path) -> list[tuple[int, ...]]:
    return [identity(root / name) for name in _SAVED]
